#include "client/cli/log_view.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "client/cli/output.h"
#include "client/process.h"
#include "config/files.h"

namespace loyal::cli {

namespace {

tl::unexpected<Failure> cannot(const std::filesystem::path& path) {
    return refuse(Exit::internal, "io", fmt::format("{} cannot be read: {}", path.string(), std::strerror(errno)));
}

// Prints from `offset` to the end; back to the beginning when the file became shorter.
Answer<off_t> print_from(int file, off_t offset, const std::filesystem::path& path) {
    struct stat status {};
    if (::fstat(file, &status) != 0) {
        return cannot(path);
    }
    off_t position = status.st_size < offset ? 0 : offset;
    char buffer[16384];
    for (;;) {
        const ssize_t got = ::pread(file, buffer, sizeof buffer, position);
        if (got < 0 && errno != EINTR) {
            return cannot(path);
        }
        if (got == 0) {
            break;
        }
        if (got > 0) {
            print(std::string_view(buffer, static_cast<std::size_t>(got)));
            position += got;
        }
    }
    if (const Answer<void> written = finish_output(); !written) {
        return tl::unexpected<Failure>(written.error());
    }
    return position;
}

}  // namespace

Answer<Exit> show_log(const std::filesystem::path& path, std::size_t lines, bool follow) {
    const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        return cannot(path);
    }
    // Watched before the end is read, so that nothing falls in between.
    const FileHandle watch(follow ? ::inotify_init1(IN_CLOEXEC) : -1);
    if (follow && (!watch.valid() || ::inotify_add_watch(watch.get(), path.c_str(), IN_MODIFY) < 0)) {
        return cannot(path);
    }
    for (const std::string& line : client::last_lines(path, lines)) {
        print(line + "\n");
    }
    if (const Answer<void> written = finish_output(); !written) {
        return tl::unexpected<Failure>(written.error());
    }
    for (off_t offset = status.st_size; follow;) {
        char events[4096];
        if (::read(watch.get(), events, sizeof events) < 0 && errno != EINTR) {
            return cannot(path);
        }
        const Answer<off_t> now = print_from(file.get(), offset, path);
        if (!now) {
            return tl::unexpected<Failure>(now.error());
        }
        offset = *now;
    }
    return Exit::done;
}

}  // namespace loyal::cli
