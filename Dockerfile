# PostgreSQL's official image with the extension in it.  PG_MAJOR chooses the
# major version of PostgreSQL.
ARG PG_MAJOR=17

FROM postgres:$PG_MAJOR AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
	gcc libc6-dev make postgresql-server-dev-$PG_MAJOR
COPY . /source
RUN make -C /source && make -C /source install DESTDIR=/installed

FROM postgres:$PG_MAJOR
COPY --from=build /installed /
