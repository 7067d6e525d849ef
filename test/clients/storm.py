#!/usr/bin/python3
"""One of many clients of a storm: asks for each key until it is answered.

It does what any application server has to.  It connects again when it has lost
its connection, and asks again after that, when somebody else is at work on the
key, and after a serialization failure or a cancelled statement.  A key's name
says in which way it works on it.

What it was told after a COMMIT was acknowledged it writes down, a line each, in
files that it shares with the other clients: answers, leases, and the calls it
made to the outside, which is the file of calls itself.
"""
import argparse
import datetime
import json
import random
import sys
import time

import psycopg

WAYS = ('one', 'two', 'execute')
EACH_LEFT = 20      # one key in so many is claimed and then left alone

# One of these won't last, so that a key is taken over under its holder.
LEASES = (datetime.timedelta(seconds=1), datetime.timedelta(milliseconds=1))
LONG_LEASE = datetime.timedelta(hours=1)
WAITS = (datetime.timedelta(0), datetime.timedelta(milliseconds=20))

# The SQLSTATEs, or their beginnings, that end an attempt but not the client.
CONNECTION_LOST = ('08', '57P')
TRY_AGAIN = ('40', '57014', 'IK004')
SHARD_LOST = ('XX000',)     # of a proxy

MICROSECOND = datetime.timedelta(microseconds=1)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def key_name(number):
	way = 'left' if number % EACH_LEFT == 0 else WAYS[number % len(WAYS)]
	return f'{way}-{number}'


def shuffled_keys(count):
	"""All keys, with those near to each other in another order for each client."""
	return sorted(map(key_name, range(count)),
		key=lambda key: (int(key.split('-')[1]) // 20, random.random()))


class Client:
	def __init__(self, options):
		self.options = options
		self.deadline = time.monotonic() + options.seconds
		self.connection = None
		self.try_again = TRY_AGAIN + tuple(options.try_again) + (SHARD_LOST if options.proxy else ())
		self.ways = {'one': self.one, 'two': self.two, 'execute': self.execute, 'left': self.left}
		# a line is one write, which O_APPEND keeps in one piece
		self.files = {name: open(f'{options.folder}/{name}', 'a', buffering=1)
			for name in ('answers', 'leases', 'calls')}

	def note(self, file, *values):
		print(self.options.name, *values, sep='\t', file=self.files[file])

	def run(self):
		pending = shuffled_keys(self.options.keys)
		while pending:
			if time.monotonic() > self.deadline:
				sys.exit(f'{len(pending)} keys are unanswered')
			key = pending.pop(0)
			if not self.ask(key):
				pending.insert(min(len(pending), 10), key)
				time.sleep(random.uniform(0, 0.02))

	def ask(self, key):
		"""Asks once; tells whether there was an answer."""
		try:
			if self.connection is None:
				self.connect()
			outcome, body = self.ways[key.split('-')[0]](key)
		except psycopg.Error as error:
			self.give_up(error)
			return False
		if outcome == 'in_progress':
			return False
		if outcome not in ('claimed', 'resumed', 'executed', 'replay', 'left'):
			sys.exit(f'{key}: {outcome}')
		self.note('answers', key, outcome, body)
		return True

	def connect(self):
		self.connection = psycopg.connect(self.options.server, autocommit=True,
			prepare_threshold=0 if self.options.prepare else None)
		self.connection.isolation_level = psycopg.IsolationLevel[self.options.isolation]

	def give_up(self, error):
		"""Makes ready for another attempt, if the error is one to go on after."""
		# an InternalError: a pooler may add its own word to the server's last
		if error.sqlstate is None and isinstance(error, (psycopg.OperationalError, psycopg.InternalError)) \
				or error.sqlstate is not None and error.sqlstate.startswith(CONNECTION_LOST):
			if self.connection is not None:
				self.connection.close()
				self.connection = None
		elif error.sqlstate is None or not error.sqlstate.startswith(self.try_again):
			raise error

	# Ways of working.  Each returns the outcome and the body of the answer.

	def one(self, key):
		"""In one transaction."""
		if self.options.proxy:
			return self.query('SELECT outcome, body FROM claim_and_work(%s, %s, %s, %s)',
				self.tenant(key), key, request(key), random.choice(WAITS))
		with self.connection.transaction():
			outcome, token, data, body = self.claim(key)
			if outcome in ('claimed', 'resumed'):
				body = self.work(key)
				self.complete(key, token, body)
		return outcome, body

	def two(self, key):
		"""In two transactions, around a call to the outside."""
		lease = random.choice(LEASES)
		outcome, token, data, body = self.claim_lease(key, lease)
		if outcome in ('claimed', 'resumed'):
			if data is None:
				data = self.call(key, token, lease)
			body = self.finish(key, token, data['call'])
		return outcome, body

	def execute(self, key):
		"""In one call."""
		with self.connection.transaction():
			return self.query("""
				SELECT outcome, response_body
				FROM idempotency_execute(%s, %s, %s, 'handle(jsonb)', wait => %s)""",
				self.tenant(key), key, request(key), random.choice(WAITS))

	def left(self, key):
		"""Never finished: the client goes away after its call."""
		outcome, token, data, body = self.claim_lease(key, LONG_LEASE)
		if outcome == 'claimed':
			self.call(key, token, LONG_LEASE)
		return 'left' if outcome in ('claimed', 'in_progress') else outcome, body

	# What these consist of.

	def tenant(self, key):
		return self.options.tenants[int(key.split('-')[1]) % len(self.options.tenants)]

	def query(self, sql, *parameters):
		try:
			return self.connection.execute(sql, parameters).fetchone()
		except ValueError as error:
			# where it prepares a statement, psycopg does not expect a pooler's word beside the server's
			raise psycopg.InternalError(str(error)) from error

	def claim(self, key, lease=None):
		return self.query("""
			SELECT outcome, token, recovery_data, response_body
			FROM idempotency_claim(%s, %s, %s, lease => %s, wait => %s)""",
			self.tenant(key), key, request(key), lease, random.choice(WAITS))

	def claim_lease(self, key, lease):
		with self.connection.transaction():
			claim = self.claim(key, lease)
		token = claim[1]
		if token is not None:
			self.note('leases', key, token, token + lease // MICROSECOND, 'claimed')
		return claim

	def call(self, key, token, lease):
		"""Calls the outside, and checkpoints that."""
		self.note('calls', key, token)
		data = {'call': token}
		with self.connection.transaction():
			lease_end, = self.query("SELECT idempotency_checkpoint(%s, %s, %s, 'called', %s, lease => %s)",
				self.tenant(key), key, token, json.dumps(data), lease)
		self.note('leases', key, token, (lease_end - EPOCH) // MICROSECOND, 'called')
		return data

	def work(self, key, call=None):
		body, = self.query('SELECT work(%s, %s)::text', key, call)
		return body

	def complete(self, key, token, body):
		self.query('SELECT idempotency_complete(%s, %s, %s, 200, %s)', self.tenant(key), key, token, body)

	def finish(self, key, token, call):
		if self.options.proxy:
			body, = self.query('SELECT work_and_complete(%s, %s, %s, %s)', self.tenant(key), key, token, call)
			return body
		with self.connection.transaction():
			body = self.work(key, call)
			self.complete(key, token, body)
		return body


def request(key):
	return json.dumps({'key': key})


parser = argparse.ArgumentParser()
parser.add_argument('--server', required=True, help='where to connect to')
parser.add_argument('--name', required=True, help='of the client, in what it writes down')
parser.add_argument('--folder', required=True, help='where to write that down')
parser.add_argument('--keys', type=int, required=True, help='how many keys there are')
parser.add_argument('--seconds', type=int, required=True, help='how long to go on asking')
parser.add_argument('--tenants', nargs='+', default=['acme'])
parser.add_argument('--proxy', action='store_true', help='the server is a proxy')
parser.add_argument('--isolation', default='READ_COMMITTED')
parser.add_argument('--try-again', default=[], action='append', help='another SQLSTATE to ask again after')
parser.add_argument('--prepare', action='store_true', help='prepare each statement')
Client(parser.parse_args()).run()
