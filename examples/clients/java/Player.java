import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * Plays a scenario: Player URL SCENARIO LABEL.  With a fourth argument, one
 * step, it holds that at its heart until it is killed.
 */
final class Player {
	private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
	private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

	private final String[] arguments;
	private final String tenant;
	private final JsonObject types;
	private final JsonArray scenes;
	private final PGSimpleDataSource source = new PGSimpleDataSource();
	private final Recipe recipe = new Recipe(source);

	/** What a step comes to at its heart, where it can be held. */
	private interface Heart {
		void reached();
	}

	private static final Heart NOT_HELD = () -> { };

	private Player(String[] arguments) throws IOException {
		this.arguments = arguments;
		source.setURL(arguments[0]);
		JsonObject scenario = JsonParser.parseString(Files.readString(Path.of(arguments[1]))).getAsJsonObject();
		types = scenario.getAsJsonObject("types");
		scenes = scenario.getAsJsonArray("scenes");
		tenant = arguments[2];
	}

	public static void main(String[] arguments) throws Exception {
		Player player = new Player(arguments);
		if (arguments.length > 3)
			player.hold(JsonParser.parseString(arguments[3]).getAsJsonObject());
		else
			player.playScenario();
	}

	private void playScenario() throws SQLException {
		OUT.println("1.." + scenes.size());
		for (int i = 0; i < scenes.size(); i++) {
			JsonObject scene = scenes.get(i).getAsJsonObject();
			String name = (i + 1) + " - " + tenant + ": " + scene.get("name").getAsString();
			try (Scene state = new Scene()) {
				state.play(scene.getAsJsonArray("steps"));
				OUT.println("ok " + name);
			} catch (Exception | AssertionError e) {
				OUT.println("not ok " + name);
				OUT.println(e.getMessage().replaceAll("(?m)^", "# "));
			}
		}
	}

	private void hold(JsonObject step) throws Exception {
		Heart forever = () -> {
			OUT.println("holding");
			try {
				System.in.read();		// ends if the player does
			} catch (IOException e) {
				// it has
			}
			System.exit(1);
		};
		try (Scene scene = new Scene()) {
			if (step.has("book"))
				scene.book(step.getAsJsonObject("book"), forever);
			else
				scene.pay(step.getAsJsonObject("pay"), forever);
		}
	}

	/** The sessions and variables of a scene, and what its steps do. */
	private final class Scene implements AutoCloseable {
		private final Map<String, Connection> sessions = new HashMap<>();
		private final Map<String, JsonElement> variables = new HashMap<>();

		private Connection session(JsonObject step) throws SQLException {
			String name = step.get("session").getAsString();
			if (!sessions.containsKey(name))
				sessions.put(name, source.getConnection());
			return sessions.get(name);
		}

		@Override
		public void close() throws SQLException {
			for (Connection connection : sessions.values())
				connection.close();
		}

		private void play(JsonArray steps) {
			for (int i = 0; i < steps.size(); i++) {
				JsonObject step = steps.get(i).getAsJsonObject();
				try {
					playStep(step);
				} catch (Exception | AssertionError e) {
					throw new AssertionError("step " + (i + 1) + ", " + step + ":\n" + e, e);
				}
			}
		}

		private void playStep(JsonObject step) throws Exception {
			JsonArray rows;
			try {
				rows = perform(step);
			} catch (SQLException e) {
				if (!step.has("error"))
					throw e;
				checkEqual(new JsonPrimitive(String.valueOf(e.getSQLState())), step.get("error"));
				checkEqual(new JsonPrimitive(Recipe.statusOf(e)), step.get("status"));
				return;
			}
			if (step.has("error"))
				throw new AssertionError("there was no error, but " + rows);
			if (step.has("expect"))
				compare(rows, step.get("expect"));
			if (step.has("save"))
				step.getAsJsonObject("save").entrySet().forEach(e ->
					variables.put(e.getValue().getAsString(), rows.get(0).getAsJsonObject().get(e.getKey())));
		}

		private JsonArray perform(JsonObject step) throws Exception {
			if (step.has("call"))
				return call(step);
			if (step.has("transaction"))
				return transaction(step);
			if (step.has("race"))
				return race(step);
			if (step.has("book"))
				return book(step.getAsJsonObject("book"), NOT_HELD);
			if (step.has("pay"))
				return pay(step.getAsJsonObject("pay"), NOT_HELD);
			if (step.has("crash"))
				return crash(step);
			return repeat(step);
		}

		// The steps.

		private JsonArray call(JsonObject step) throws SQLException {
			JsonObject given = step.getAsJsonObject("with");
			List<String> names = new ArrayList<>(given.keySet());
			List<String> list = names.stream().map(name -> name + " => ?::" + typeOf(name, given.get(name))).toList();
			String sql = "SELECT * FROM " + step.get("call").getAsString() + "(" + String.join(", ", list) + ")";
			try (PreparedStatement statement = session(step).prepareStatement(sql)) {
				for (int i = 0; i < names.size(); i++)
					bind(statement, i + 1, names.get(i), valueOf(given.get(names.get(i))));
				try (ResultSet result = statement.executeQuery()) {
					return rowsOf(result);
				}
			}
		}

		/** In the driver's own way, which is to switch autocommit off and on. */
		private JsonArray transaction(JsonObject step) throws SQLException {
			Connection connection = session(step);
			switch (step.get("transaction").getAsString()) {
			case "BEGIN READ ONLY" -> {
				connection.setReadOnly(true);
				connection.setAutoCommit(false);
			}
			case "BEGIN" -> connection.setAutoCommit(false);
			case "COMMIT" -> {
				connection.commit();
				connection.setAutoCommit(true);
			}
			default -> {
				connection.rollback();
				connection.setAutoCommit(true);
				connection.setReadOnly(false);
			}
			}
			return new JsonArray();
		}

		/** Books a seat in one transaction. */
		private JsonArray book(JsonObject want, Heart heart) throws SQLException {
			List<String> first = firstOf(want);
			return rowOf(recipe.inOneTransaction(requestOf(want, "POST /bookings"), connection -> {
				bookSeat(connection, want, first);
				heart.reached();
				return responseOf(want);
			}));
		}

		/** Charges a card at the provider, then books the seat. */
		private JsonArray pay(JsonObject want, Heart heart) throws SQLException {
			List<String> first = firstOf(want);
			return rowOf(recipe.aroundCall(requestOf(want, "POST /payments"), callKey -> {
				charge(want, callKey);
				heart.reached();
				return null;
			}, (connection, result) -> {
				bookSeat(connection, want, first);
				return responseOf(want);
			}));
		}

		/** Many at once.  If it is held, who has got the work waits until all others have been answered. */
		private JsonArray race(JsonObject step) throws Exception {
			int number = step.get("race").getAsInt();
			boolean held = step.has("held");
			CyclicBarrier allHaveArrived = new CyclicBarrier(number);
			Callable<String> contend = () -> {
				boolean[] working = {false};
				JsonArray answer = book(step.getAsJsonObject("book"), !held ? NOT_HELD : () -> {
					working[0] = true;
					await(allHaveArrived);
				});
				if (held && !working[0])
					await(allHaveArrived);
				return answer.get(0).getAsJsonObject().get("outcome").getAsString();
			};
			ExecutorService threads = Executors.newFixedThreadPool(number);
			try {
				JsonObject counts = new JsonObject();
				for (Future<String> each : threads.invokeAll(java.util.Collections.nCopies(number, contend))) {
					int count = counts.has(each.get()) ? counts.get(each.get()).getAsInt() : 0;
					counts.addProperty(each.get(), count + 1);
				}
				checkEqual(counts, step.get("outcomes"));
			} finally {
				threads.shutdownNow();
			}
			return new JsonArray();
		}

		/** Plays a step in another process, which is killed at its heart. */
		private JsonArray crash(JsonObject step) throws Exception {
			List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElseThrow(),
				"-cp", System.getProperty("java.class.path"), "Player"));
			command.addAll(List.of(arguments));
			command.add(step.get("crash").toString());
			Process holder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
			try (BufferedReader said = new BufferedReader(new InputStreamReader(holder.getInputStream()))) {
				if (!"holding".equals(said.readLine()))
					throw new AssertionError("it did not come to its heart");
			} finally {
				holder.destroyForcibly().waitFor();
			}
			return new JsonArray();
		}

		private JsonArray repeat(JsonObject step) {
			for (int i = 0; i < step.get("repeat").getAsInt(); i++)
				play(step.getAsJsonArray("steps"));
			return new JsonArray();
		}

		// What they need.

		private JsonElement valueOf(JsonElement value) {
			return isString(value) && value.getAsString().startsWith("$") ? variables.get(value.getAsString().substring(1)) : value;
		}

		/** An array stands for exactly these rows, an object for one; either names the columns that matter. */
		private void compare(JsonArray rows, JsonElement expected) {
			JsonArray expectedRows = expected.isJsonArray() ? expected.getAsJsonArray() : arrayOf(expected);
			if (rows.size() != expectedRows.size())
				throw new AssertionError("rows: " + rows);
			for (int i = 0; i < rows.size(); i++)
				for (Map.Entry<String, JsonElement> column : expectedRows.get(i).getAsJsonObject().entrySet()) {
					JsonElement value = rows.get(i).getAsJsonObject().get(column.getKey());
					if (value == null || !matches(value, column.getValue()))
						throw new AssertionError(column.getKey() + " is " + value);
				}
		}

		private boolean matches(JsonElement value, JsonElement expected) {
			if (expected instanceof JsonObject object && object.has("above"))
				return value.getAsLong() > valueOf(object.get("above")).getAsLong();
			return value.equals(expected);
		}
	}

	private static void checkEqual(JsonElement value, JsonElement expected) {
		if (!value.equals(expected))
			throw new AssertionError("got " + value + " instead of " + expected);
	}

	private static void await(CyclicBarrier barrier) {
		try {
			barrier.await(60, TimeUnit.SECONDS);
		} catch (Exception e) {
			throw new IllegalStateException(e);
		}
	}

	private Recipe.Request requestOf(JsonObject want, String scope) {
		JsonObject body = new JsonObject();
		body.add("seat", want.get("seat"));
		return new Recipe.Request(tenant, scope, want.get("key").getAsString(), GSON.toJson(body),
			stringOf(want.get("wait")), stringOf(want.get("lease")));
	}

	private static Recipe.Response responseOf(JsonObject want) {
		JsonObject response = want.getAsJsonObject("response");
		JsonElement body = response.get("body");
		return new Recipe.Response(response.get("status").getAsInt(), response.get("headers").toString(),
			hexOf(body) == null ? body.getAsString() : HexFormat.of().parseHex(hexOf(body)));
	}

	/** What an HTTP server would send, as a row. */
	private static JsonArray rowOf(Recipe.Answer answer) {
		JsonObject row = new JsonObject();
		JsonObject headers = answer.response().headers() == null ? new JsonObject()
			: JsonParser.parseString(answer.response().headers()).getAsJsonObject();
		if (answer.outcome().equals("replay"))
			headers.addProperty("Idempotent-Replayed", "true");
		if (answer.retryAfter() != null)
			headers.addProperty("Retry-After", answer.retryAfter().toString());
		row.addProperty("outcome", answer.outcome());
		row.addProperty("status", answer.response().status());
		row.add("headers", headers);
		row.add("body", answer.response().body() instanceof byte[] bytes ? hex(bytes) : jsonOf(answer.response().body()));
		return arrayOf(row);
	}

	/** What to do on the first try only: taken out of the list by whoever comes first. */
	private static List<String> firstOf(JsonObject want) {
		return want.has("first") ? new ArrayList<>(List.of(want.get("first").getAsString())) : new ArrayList<>();
	}

	private void bookSeat(Connection connection, JsonObject want, List<String> first) throws SQLException {
		if (!first.isEmpty())
			try (Statement statement = connection.createStatement()) {
				statement.execute(first.remove(0));
			}
		try (PreparedStatement statement = connection.prepareStatement("INSERT INTO bookings VALUES (?, ?)")) {
			statement.setString(1, tenant);
			statement.setInt(2, want.get("seat").getAsInt());
			statement.executeUpdate();
		}
	}

	private void charge(JsonObject want, String callKey) throws SQLException {
		try (Connection connection = source.getConnection();
				PreparedStatement statement = connection.prepareStatement("INSERT INTO charges VALUES (?, ?, ?::uuid) ON CONFLICT DO NOTHING")) {
			statement.setString(1, tenant);
			statement.setInt(2, want.get("seat").getAsInt());
			statement.setString(3, callKey);
			statement.executeUpdate();
		}
	}

	/** The overloads of idempotency_complete differ in the type of the body. */
	private String typeOf(String name, JsonElement value) {
		if (name.equals("response_body") && value.isJsonObject())
			return hexOf(value) == null ? "jsonb" : "bytea";
		return types.get(name).getAsString();
	}

	private void bind(PreparedStatement statement, int number, String name, JsonElement value) throws SQLException {
		if (name.equals("response_body") && hexOf(value) != null)
			statement.setBytes(number, HexFormat.of().parseHex(hexOf(value)));
		else if (name.equals("response_body") && value.isJsonObject())
			statement.setObject(number, value.getAsJsonObject().get("jsonb").getAsString(), Types.OTHER);
		else if (value.isJsonNull() || isString(value))		// of jsonb, a string is how the document is spelt
			statement.setString(number, stringOf(value));
		else
			statement.setString(number, GSON.toJson(value));
	}

	private static JsonArray rowsOf(ResultSet result) throws SQLException {
		JsonArray rows = new JsonArray();
		ResultSetMetaData columns = result.getMetaData();
		while (result.next()) {
			JsonObject row = new JsonObject();
			for (int i = 1; i <= columns.getColumnCount(); i++)
				row.add(columns.getColumnLabel(i), switch (columns.getColumnTypeName(i)) {
				case "jsonb" -> result.getString(i) == null ? JsonNull.INSTANCE : JsonParser.parseString(result.getString(i));
				case "bytea" -> result.getBytes(i) == null ? JsonNull.INSTANCE : hex(result.getBytes(i));
				case "int4", "int8", "bool" -> jsonOf(result.getObject(i));
				default -> jsonOf(result.getString(i));
				});
			rows.add(row);
		}
		return rows;
	}

	private static JsonElement jsonOf(Object value) {
		return GSON.toJsonTree(value);
	}

	private static JsonObject hex(byte[] bytes) {
		JsonObject object = new JsonObject();
		object.addProperty("hex", HexFormat.of().formatHex(bytes));
		return object;
	}

	private static String hexOf(JsonElement value) {
		return value instanceof JsonObject object && object.has("hex") ? object.get("hex").getAsString() : null;
	}

	private static JsonArray arrayOf(JsonElement element) {
		JsonArray array = new JsonArray();
		array.add(element);
		return array;
	}

	private static boolean isString(JsonElement value) {
		return value instanceof JsonPrimitive primitive && primitive.isString();
	}

	private static String stringOf(JsonElement value) {
		return value == null || value.isJsonNull() ? null : value.getAsString();
	}
}
