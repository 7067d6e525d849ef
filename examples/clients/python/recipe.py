"""Requests that may be retried, with psycopg 3.  Copy what you need."""
import random
import time
import uuid
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True)
class Request:
	tenant: str
	scope: str
	key: str
	body: object
	wait: str | None = None
	lease: str | None = None


@dataclass(frozen=True)
class Response:
	status: int
	headers: dict = field(default_factory=dict)
	body: str | bytes | None = None


@dataclass(frozen=True)
class Answer(Response):
	outcome: str = ''


def in_one_transaction(connect, request, work):
	"""Claim, work and response in one transaction: all of it is committed, or nothing.

	connect() gives a connection, as pool.connection of psycopg_pool does;
	work(connection) returns a Response and writes with that connection only.
	"""
	def attempt():
		with connect() as connection, connection.transaction():
			claimed = claim(connection, request)
			if not is_ours(claimed):
				return answer(claimed)
			response = work(connection)
			complete(connection, request, claimed['token'], response)
			return Answer(response.status, response.headers, response.body, claimed['outcome'])

	return with_retries(attempt)


def around_call(connect, request, call, work):
	"""Around a call to the outside: the claim is committed first, then the call is
	made under a key of its own, then effect and response are committed.

	call(call_key) does the same once, for the same call_key; work(connection,
	result of the call) returns a Response.
	"""
	def attempt():
		claimed = with_retries(lambda: committed(connect, claim, request))
		if not is_ours(claimed):
			return answer(claimed)
		# who resumes calls with the same key as the one who may have called before
		data = claimed['recovery_data'] or {'call_key': str(uuid.uuid4())}
		with_retries(lambda: committed(connect, checkpoint, request, claimed['token'], 'calling', data))

		result = call(data['call_key'])

		def finish():
			with connect() as connection, connection.transaction():
				heartbeat(connection, request, claimed['token'])  # see README: a lost answer to COMMIT
				response = work(connection, result)
				complete(connection, request, claimed['token'], response)
				return Answer(response.status, response.headers, response.body, claimed['outcome'])

		return with_retries(finish)

	return with_retries(attempt, is_overtaken)


def claim(connection, request):
	# Jsonb(None) would be the document null, which is something else than no request
	body = None if request.body is None else Jsonb(request.body)
	return connection.cursor(row_factory=dict_row).execute(
		'SELECT * FROM idempotency_claim(%s, %s, %s, scope => %s, wait => %s, lease => %s)',
		(request.tenant, request.key, body, request.scope, request.wait, request.lease)).fetchone()


def checkpoint(connection, request, token, point, data):
	connection.execute(
		'SELECT idempotency_checkpoint(%s, %s, %s, %s, %s, scope => %s, lease => %s)',
		(request.tenant, request.key, token, point, Jsonb(data), request.scope, request.lease))


def heartbeat(connection, request, token):
	connection.execute(
		'SELECT idempotency_heartbeat(%s, %s, %s, scope => %s, lease => %s)',
		(request.tenant, request.key, token, request.scope, request.lease))


def complete(connection, request, token, response):
	# str goes out untyped, which means text here; bytes as bytea
	connection.execute(
		'SELECT idempotency_complete(%s, %s, %s, %s, %s, %s, scope => %s)',
		(request.tenant, request.key, token, response.status, response.body, Jsonb(response.headers), request.scope))


def committed(connect, function, *arguments):
	"""Calls a function in a transaction of its own."""
	with connect() as connection, connection.transaction():
		return function(connection, *arguments)


def is_ours(claimed):
	return claimed['outcome'] in ('claimed', 'resumed')


def answer(claimed):
	"""What to send where the work isn't ours."""
	headers = dict(claimed['response_headers'] or {})
	if claimed['outcome'] == 'replay':
		headers['Idempotent-Replayed'] = 'true'
	if claimed['retry_after'] is not None:
		headers['Retry-After'] = str(claimed['retry_after'])
	body = claimed['response_body'] if claimed['response_bytes'] is None else claimed['response_bytes']
	return Answer(claimed['response_status'], headers, body, claimed['outcome'])


def is_transient(error):
	"""A connection that could not be made or is lost, or a transaction that could not be serialized."""
	state = error.sqlstate
	return state is None and isinstance(error, psycopg.OperationalError) or \
		state is not None and (state.startswith('08') or state in ('57P01', '57P02', '57P03', '40001', '40P01'))


def is_overtaken(error):
	"""The claim went to somebody else, or was completed."""
	return error.sqlstate == 'IK004'


def with_retries(attempt, is_retryable=is_transient):
	"""Tries again with the same key, which is what makes that safe: also when the answer to COMMIT got lost."""
	for tries in range(1, 6):
		try:
			return attempt()
		except psycopg.Error as error:
			if tries == 5 or not is_retryable(error):
				raise
		time.sleep(tries * 0.1 * random.random())


STATUSES = {
	'IK001': 400, 'IK002': 400, 'IK003': 400, '22023': 400, '42501': 403, 'IK005': 404, 'IK004': 409, '25006': 503}


def status_of(error):
	"""The HTTP status that an error stands for."""
	return 503 if is_transient(error) else STATUSES.get(error.sqlstate, 500)
