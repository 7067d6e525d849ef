import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Predicate;
import javax.sql.DataSource;

/** Requests that may be retried, with JDBC.  Copy what you need. */
final class Recipe {
	/** The body is the request as JSON; waitFor and lease are intervals, or null. */
	record Request(String tenant, String scope, String key, String body, String waitFor, String lease) {}

	/** The headers are JSON; the body is a String, a byte[] or null. */
	record Response(int status, String headers, Object body) {}

	/** Where retryAfter is not null, it goes out as Retry-After; a replay as Idempotent-Replayed: true. */
	record Answer(String outcome, Response response, Integer retryAfter) {}

	interface Work<T> {
		T in(Connection connection) throws SQLException;
	}

	interface Call<T> {
		T with(String callKey) throws SQLException;
	}

	interface Finish<T> {
		Response in(Connection connection, T result) throws SQLException;
	}

	private interface Attempt<T> {
		T run() throws SQLException;
	}

	private record Claim(Answer answer, long token, String recoveryData) {
		boolean isOurs() {
			return List.of("claimed", "resumed").contains(answer.outcome());
		}
	}

	private final DataSource source;

	Recipe(DataSource source) {
		this.source = source;
	}

	/**
	 * Claim, work and response in one transaction: all of it is committed, or nothing.
	 * The work writes with the connection that it is given only.
	 */
	Answer inOneTransaction(Request request, Work<Response> work) throws SQLException {
		return withRetries(() -> transaction(connection -> {
			Claim claim = claim(connection, request);
			if (!claim.isOurs())
				return claim.answer();
			Response response = work.in(connection);
			complete(connection, request, claim, response);
			return new Answer(claim.answer().outcome(), response, null);
		}));
	}

	/**
	 * Around a call to the outside: the claim is committed first, then the call is
	 * made under a key of its own, then effect and response are committed.  The
	 * call does the same once, for the same key.
	 */
	<T> Answer aroundCall(Request request, Call<T> call, Finish<T> finish) throws SQLException {
		return withRetries(() -> {
			Claim claim = withRetries(() -> transaction(connection -> claim(connection, request)));
			if (!claim.isOurs())
				return claim.answer();
			// who resumes calls with the same key as the one who may have called before
			String callKey = claim.recoveryData() == null ? UUID.randomUUID().toString()
				: claim.recoveryData().replace("\"", "");
			withRetries(() -> transaction(connection ->
				checkpoint(connection, request, claim, "calling", '"' + callKey + '"')));

			T result = call.with(callKey);

			return withRetries(() -> transaction(connection -> {
				heartbeat(connection, request, claim);		// see README: a lost answer to COMMIT
				Response response = finish.in(connection, result);
				complete(connection, request, claim, response);
				return new Answer(claim.answer().outcome(), response, null);
			}));
		}, Recipe::isOvertaken);
	}

	private static Claim claim(Connection connection, Request request) throws SQLException {
		String sql = "SELECT * FROM idempotency_claim(?, ?, ?, scope => ?, wait => ?::interval, lease => ?::interval)";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			statement.setString(1, request.tenant());
			statement.setString(2, request.key());
			statement.setObject(3, request.body(), Types.OTHER);		// not setString: text isn't jsonb
			statement.setString(4, request.scope());
			statement.setString(5, request.waitFor());
			statement.setString(6, request.lease());
			try (ResultSet row = statement.executeQuery()) {
				row.next();
				byte[] bytes = row.getBytes("response_bytes");
				Response response = new Response(row.getInt("response_status"), row.getString("response_headers"),
					bytes == null ? row.getString("response_body") : bytes);
				Answer answer = new Answer(row.getString("outcome"), response, row.getObject("retry_after", Integer.class));
				return new Claim(answer, row.getLong("token"), row.getString("recovery_data"));
			}
		}
	}

	private static Void checkpoint(Connection connection, Request request, Claim claim, String point, String data) throws SQLException {
		String sql = "SELECT idempotency_checkpoint(?, ?, ?, ?, ?, scope => ?, lease => ?::interval)";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			statement.setString(1, request.tenant());
			statement.setString(2, request.key());
			statement.setLong(3, claim.token());
			statement.setString(4, point);
			statement.setObject(5, data, Types.OTHER);
			statement.setString(6, request.scope());
			statement.setString(7, request.lease());
			statement.execute();
		}
		return null;
	}

	private static void heartbeat(Connection connection, Request request, Claim claim) throws SQLException {
		String sql = "SELECT idempotency_heartbeat(?, ?, ?, scope => ?, lease => ?::interval)";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			statement.setString(1, request.tenant());
			statement.setString(2, request.key());
			statement.setLong(3, claim.token());
			statement.setString(4, request.scope());
			statement.setString(5, request.lease());
			statement.execute();
		}
	}

	private static void complete(Connection connection, Request request, Claim claim, Response response) throws SQLException {
		String sql = "SELECT idempotency_complete(?, ?, ?, ?, ?, ?, scope => ?)";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			statement.setString(1, request.tenant());
			statement.setString(2, request.key());
			statement.setLong(3, claim.token());
			statement.setInt(4, response.status());
			if (response.body() instanceof byte[] bytes)
				statement.setBytes(5, bytes);		// which function is called follows from the type
			else
				statement.setString(5, (String) response.body());
			statement.setObject(6, response.headers(), Types.OTHER);
			statement.setString(7, request.scope());
			statement.execute();
		}
	}

	private <T> T transaction(Work<T> work) throws SQLException {
		try (Connection connection = source.getConnection()) {
			connection.setAutoCommit(false);		// it is on in a new connection
			try {
				T result = work.in(connection);
				connection.commit();
				return result;
			} catch (SQLException | RuntimeException e) {
				rollback(connection);
				throw e;
			}
		}
	}

	private static void rollback(Connection connection) {
		try {
			connection.rollback();
		} catch (SQLException e) {
			// the connection is gone, and its transaction with it
		}
	}

	private static <T> T withRetries(Attempt<T> attempt) throws SQLException {
		return withRetries(attempt, Recipe::isTransient);
	}

	/** Tries again with the same key, which is what makes that safe: also when the answer to COMMIT got lost. */
	private static <T> T withRetries(Attempt<T> attempt, Predicate<SQLException> isRetryable) throws SQLException {
		for (int tries = 1; ; tries++) {
			try {
				return attempt.run();
			} catch (SQLException e) {
				if (tries == 5 || !isRetryable.test(e))
					throw e;
				pause(tries);
			}
		}
	}

	private static void pause(int tries) throws SQLException {
		try {
			Thread.sleep(ThreadLocalRandom.current().nextLong(tries * 100L));
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
			throw new SQLException("interrupted", e);
		}
	}

	/** A connection that could not be made or is lost, or a transaction that could not be serialized. */
	private static boolean isTransient(SQLException e) {
		return e.getSQLState() != null && e.getSQLState().matches("08...|57P0[123]|40001|40P01");
	}

	/** The claim went to somebody else, or was completed. */
	private static boolean isOvertaken(SQLException e) {
		return "IK004".equals(e.getSQLState());
	}

	private static final Map<String, Integer> STATUSES = Map.of("IK001", 400, "IK002", 400, "IK003", 400, "22023", 400,
		"42501", 403, "IK005", 404, "IK004", 409, "25006", 503);

	/** The HTTP status that an error stands for. */
	static int statusOf(SQLException e) {
		return isTransient(e) ? 503 : e.getSQLState() == null ? 500 : STATUSES.getOrDefault(e.getSQLState(), 500);
	}
}
