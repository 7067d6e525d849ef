# Sourced by the tools that need Node and npm: puts those first in PATH that
# tools/deps has fetched, where the distribution's Node is too old.

node_folder=${XDG_CACHE_HOME:-$HOME/.cache}/idempotency/node

node_is_new_enough()
{
	node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null
}

node_is_new_enough || export PATH=$node_folder/node_modules/.bin:$PATH
