# Many clients race for the same keys through the coordinator, as a role that
# owns nothing but their tables.  The functions run on the tenant's node, in
# one transaction with what the clients write there.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../perl';
use CitusCluster;
use Clients;
use PostgreSQL::Test::Utils;
use Storm qw(log_tells_only);
use Test::More;

my $recipe = dirname(__FILE__) . '/../../sharding/citus';

my $cluster = CitusCluster->new('keys', 2);
my $clients = Clients->new($cluster, clients => 8, keys => 300, tables => qq{
	SET client_min_messages = warning;
	CREATE EXTENSION idempotency;
	\\i $recipe/distribute.sql
	\\i $recipe/delegate.sql
	CREATE ROLE client LOGIN;
	SELECT idempotency_grant('client', 'app');

	CREATE TABLE effects (tenant_id text COLLATE "C" DEFAULT 'acme', id uuid DEFAULT gen_random_uuid(), key text, call bigint);
	CREATE TABLE counters (tenant_id text COLLATE "C" DEFAULT 'acme', id int, count int);
	SELECT create_distributed_table(name, 'tenant_id', colocate_with => 'idempotency_keys')
	FROM unnest(ARRAY['effects', 'counters']) AS name;
	INSERT INTO counters (id, count) SELECT i, 0 FROM generate_series(1, 8) AS i;
	GRANT ALL ON effects, counters TO client;

	CREATE FUNCTION work(_key text, _call bigint DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql AS \$\$
	DECLARE
		_id int;
		_effect effects;
	BEGIN
		FOR i IN 1 .. 2 LOOP
			_id := ceil(8 * random());
			UPDATE counters SET count = count + 1 WHERE tenant_id = 'acme' AND id = _id;
		END LOOP;
		INSERT INTO effects (key, call) VALUES (_key, _call) RETURNING * INTO _effect;
		RETURN to_jsonb(_effect);
	END \$\$;
	CREATE FUNCTION handle(request jsonb) RETURNS jsonb
	LANGUAGE plpgsql AS \$\$
	BEGIN
		RETURN work(request ->> 'key');
	END \$\$;
});

# A serialization failure in a node's COMMIT is no more than an internal error.
$clients->start($cluster->connstr('postgres') . ' user=client', '--prepare', '--try-again', 'XX000');
$clients->ride_out;
$cluster->safe_psql('postgres', q{
	SELECT undistribute_table(name) FROM unnest(ARRAY['effects', 'counters']) AS name});
$clients->check($cluster, rare => 'resumed');
log_tells_only(
	$cluster,
	{   '40001' => 'overtaken',
		'XX000' => 'overtaken in COMMIT',
		'01000' => '... as the node is named',
		'40P01' => 'in a deadlock',
		'IK004' => 'a holder was late' });
unlike(slurp_file($cluster->logfile), qr/^XX000 ERROR:  (?!could not commit transaction)/m, '... and nothing else is internal');

$cluster->stop;
done_testing();
