/*
 * A full disk for those who can't fill one: a library that a server is started
 * with (LD_PRELOAD).  As long as there is a file named "base" or "pg_wal" in
 * the folder $FULL_DISK, nothing in the server's folder of that name gets
 * longer: the system calls that would do it fail with ENOSPC.  What is there
 * can be overwritten, as on a disk that is full.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int
is_full(const char *folder, const char *path)
{
	const char *flags = getenv("FULL_DISK");
	char		part[64];
	char		flag[PATH_MAX];

	snprintf(part, sizeof(part), "/%s/", folder);
	if (flags == NULL || strstr(path, part) == NULL)
		return 0;
	snprintf(flag, sizeof(flag), "%s/%s", flags, folder);
	return access(flag, F_OK) == 0;
}

/* Tells whether there is no room for a file up to this length. */
static int
has_no_room(int fd, off_t end)
{
	int			saved_errno = errno;
	char		link[64];
	char		path[PATH_MAX];
	struct stat file;
	ssize_t		length;
	int			full = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && end > file.st_size &&
		(length = readlink(link, path, sizeof(path) - 1)) > 0)
	{
		path[length] = '\0';
		full = is_full("base", path) || is_full("pg_wal", path);
	}
	errno = full ? ENOSPC : saved_errno;
	return full;
}

static size_t
total_length(const struct iovec *parts, int count)
{
	size_t		length = 0;

	while (count-- > 0)
		length += parts[count].iov_len;
	return length;
}

/* The system's own function of this name. */
#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

ssize_t
write(int fd, const void *data, size_t length)
{
	if (has_no_room(fd, lseek(fd, 0, SEEK_CUR) + length))
		return -1;
	return REAL(write) (fd, data, length);
}

ssize_t
pwrite(int fd, const void *data, size_t length, off_t offset)
{
	if (has_no_room(fd, offset + length))
		return -1;
	return REAL(pwrite) (fd, data, length, offset);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (has_no_room(fd, offset + total_length(parts, count)))
		return -1;
	return REAL(pwritev) (fd, parts, count, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	if (has_no_room(fd, offset + length))
		return ENOSPC;
	return REAL(posix_fallocate) (fd, offset, length);
}
