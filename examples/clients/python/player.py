#!/usr/bin/python3
"""Plays a scenario: player.py CONNECTION-STRING SCENARIO LABEL.  With a fourth
argument, one step, it holds that at its heart until it is killed."""
import collections
import concurrent.futures
import functools
import json
import os
import re
import subprocess
import sys
import threading

import psycopg
from psycopg.rows import dict_row

from recipe import Response, Request, around_call, in_one_transaction, status_of

CONNINFO, FILE, LABEL, *HELD_STEP = sys.argv[1:]
TENANT = LABEL
# None: never prepare a statement, as its next execution may go to another server connection
connect = functools.partial(psycopg.connect, CONNINFO, prepare_threshold=None if os.environ.get('POOLED') else 5)

with open(FILE, encoding='utf-8') as scenario:
	SCENARIO = json.load(scenario)
TYPES = SCENARIO['types']


class Scene:
	"""The sessions and variables of a scene, and what its steps do."""

	def __init__(self):
		self.sessions = {}
		self.variables = {}

	def session(self, name):
		if name not in self.sessions:
			self.sessions[name] = connect(autocommit=True, row_factory=dict_row)
		return self.sessions[name]

	def close(self):
		for connection in self.sessions.values():
			connection.close()

	def play(self, steps):
		for number, step in enumerate(steps, 1):
			try:
				self.play_step(step)
			except Exception as error:
				raise AssertionError(f'step {number}, {json.dumps(step, ensure_ascii=False)}:\n{error!r}') from error

	def play_step(self, step):
		function = next(getattr(self, name) for name in
			('call', 'transaction', 'book', 'pay', 'race', 'crash', 'repeat') if name in step)
		try:
			result = function(step)
		except psycopg.Error as error:
			if 'error' not in step:
				raise
			check_equal((error.sqlstate, status_of(error)), (step['error'], step['status']))
			return
		if 'error' in step:
			raise AssertionError(f'there was no error, but {result}')
		if 'expect' in step:
			self.compare(result, step['expect'])
		for column, variable in step.get('save', {}).items():
			self.variables[variable] = result[0][column]

	# The steps.

	def call(self, step):
		given = step['with']
		names = ', '.join(f'{name} => %({name})s::{type_of(name, value)}' for name, value in given.items())
		values = {name: parameter(name, self.value_of(value)) for name, value in given.items()}
		return self.session(step['session']).execute(f'SELECT * FROM {step["call"]}({names})', values).fetchall()

	def transaction(self, step):
		self.session(step['session']).execute(step['transaction'])

	def book(self, step, hold=lambda: None):
		"""Books a seat in one transaction."""
		want = step['book']
		first = iter([want.get('first')])

		def work(connection):
			book_seat(connection, want['seat'], next(first, None))
			hold()
			return response_of(want)

		return in_one_transaction(connect, request_of(want, 'POST /bookings'), work).__dict__

	def pay(self, step, hold=lambda: None):
		"""Charges a card at the provider, then books the seat."""
		want = step['pay']
		first = iter([want.get('first')])

		def call(call_key):
			charge(want['seat'], call_key)
			hold()

		def work(connection, _):
			book_seat(connection, want['seat'], next(first, None))
			return response_of(want)

		return around_call(connect, request_of(want, 'POST /payments'), call, work).__dict__

	def race(self, step):
		"""Many at once.  If it is held, who has got the work waits until all others have been answered."""
		all_have_arrived = threading.Barrier(step['race'], timeout=60)

		def contend():
			working = []

			def hold():
				working.append(True)
				all_have_arrived.wait()

			if not step.get('held'):
				return self.book(step)['outcome']
			outcome = self.book(step, hold)['outcome']
			if not working:
				all_have_arrived.wait()
			return outcome

		with concurrent.futures.ThreadPoolExecutor(step['race']) as threads:
			contenders = [threads.submit(contend) for _ in range(step['race'])]
			check_equal(dict(collections.Counter(each.result() for each in contenders)), step['outcomes'])

	def crash(self, step):
		"""Plays a step in another process, which is killed at its heart."""
		with subprocess.Popen([sys.executable, *sys.argv, json.dumps(step['crash'])],
				stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
			try:
				check_equal(holder.stdout.readline(), 'holding\n')
			finally:
				holder.kill()

	def repeat(self, step):
		for _ in range(step['repeat']):
			self.play(step['steps'])

	# What they need.

	def value_of(self, value):
		if isinstance(value, str) and value.startswith('$'):
			return self.variables[value[1:]]
		return value

	def compare(self, result, expected):
		"""A list stands for exactly these rows, an object for one; either names the columns that matter."""
		rows = result if isinstance(result, list) else [result]
		expected_rows = expected if isinstance(expected, list) else [expected]
		if len(rows) != len(expected_rows):
			raise AssertionError(f'rows: {rows}')
		for row, expected_row in zip(rows, expected_rows):
			for column, value in expected_row.items():
				if not self.matches(row[column], value):
					raise AssertionError(f'{column} is {row[column]!r}')

	def matches(self, value, expected):
		if isinstance(expected, dict) and 'above' in expected:
			return value > self.value_of(expected['above'])
		expected = bytes_or_text(expected)
		return type(value) is type(expected) and value == expected


def check_equal(value, expected):
	if value != expected:
		raise AssertionError(f'got {value!r} instead of {expected!r}')


def request_of(want, scope):
	return Request(TENANT, scope, want['key'], {'seat': want['seat']}, want.get('wait'), want.get('lease'))


def response_of(want):
	response = want['response']
	return Response(response['status'], response['headers'], bytes_or_text(response['body']))


def book_seat(connection, seat, first):
	if first:
		connection.execute(first)
	connection.execute('INSERT INTO bookings VALUES (%s, %s)', (TENANT, seat))


def charge(seat, call_key):
	with connect() as connection:
		connection.execute('INSERT INTO charges VALUES (%s, %s, %s) ON CONFLICT DO NOTHING', (TENANT, seat, call_key))


def bytes_or_text(value):
	return bytes.fromhex(value['hex']) if isinstance(value, dict) and 'hex' in value else value


def type_of(name, value):
	"""The overloads of idempotency_complete differ in the type of the body."""
	if name == 'response_body' and isinstance(value, dict):
		return 'bytea' if 'hex' in value else 'jsonb'
	return TYPES[name]


def parameter(name, value):
	if name == 'response_body':
		return value['jsonb'] if isinstance(value, dict) and 'jsonb' in value else bytes_or_text(value)
	# of jsonb, a string is how the document is spelt
	return json.dumps(value) if TYPES[name] == 'jsonb' and value is not None and not isinstance(value, str) else value


def hold_forever():
	print('holding', flush=True)
	sys.stdin.read()  # ends if the player does
	os._exit(1)


def play_scenario():
	scenes = SCENARIO['scenes']
	print(f'1..{len(scenes)}')
	for number, scene in enumerate(scenes, 1):
		state = Scene()
		try:
			state.play(scene['steps'])
			print(f'ok {number} - {LABEL}: {scene["name"]}', flush=True)
		except Exception as error:
			print(f'not ok {number} - {LABEL}: {scene["name"]}')
			print(re.sub('^', '# ', str(error), flags=re.MULTILINE), flush=True)
		state.close()


if HELD_STEP:
	held = json.loads(HELD_STEP[0])
	(Scene().book if 'book' in held else Scene().pay)(held, hold_forever)
else:
	play_scenario()
