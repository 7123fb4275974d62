#include "client/cli/export_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace loyal::cli {

namespace {

constexpr mode_t export_mode = 0600;  // all data in the clear

}  // namespace

tl::unexpected<Failure> ExportFile::failed(int error) const {
    return refuse(Exit::internal, error == ENOSPC ? "disk_full" : "io",
                  fmt::format("{} cannot be written: {}", path_.string(), std::strerror(error)));
}

Answer<ExportFile> ExportFile::create(const std::filesystem::path& path) {
    FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, export_mode));
    if (!file.valid() && errno == EEXIST) {
        return refuse(Exit::usage, "conflict",
                      fmt::format("{} exists; --resume continues it, or name another file", path.string()));
    }
    if (!file.valid()) {
        return refuse_input(fmt::format("{} cannot be created: {}", path.string(), std::strerror(errno)));
    }
    return ExportFile(path, std::move(file));
}

Answer<ExportFile> ExportFile::resume(const std::filesystem::path& path, RecordFormat format, ByteView prefix) {
    FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, export_mode));
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        return refuse_input(fmt::format("{} cannot be opened: {}", path.string(), std::strerror(errno)));
    }
    if (!S_ISREG(status.st_mode)) {
        return refuse_input(fmt::format("{} is no regular file, so no export to it can be resumed", path.string()));
    }
    ExportFile opened(path, std::move(file));
    if (const Answer<void> checked = opened.check(format, prefix); !checked) {
        return tl::unexpected<Failure>(checked.error());
    }
    return opened;
}

Answer<void> ExportFile::check(RecordFormat format, ByteView prefix) {
    LineReader lines(file_.get());
    const auto wrong = [&](const std::string& why) {
        return refuse_input(
            fmt::format("{}, line {}: {}; this file is not the beginning of this export, and nothing was "
                        "changed in it",
                        path_.string(), lines.number(), why));
    };
    for (;;) {
        const Answer<std::optional<std::string_view>> line = lines.next();
        if (!line) {
            return wrong(line.error().message);
        }
        if (!*line) {
            break;
        }
        if (!lines.terminated()) {
            if (records_ == 0) {  // nothing says that it is a record at all
                return wrong("there is no complete record in it; remove it to begin anew");
            }
            break;
        }
        Answer<Record> record = read_record(**line, format);
        if (!record) {
            return wrong(record.error().message);
        }
        if (last_key_ && record->key <= *last_key_) {
            return wrong("its key is not above the one before it");
        }
        if (record->key.size() < prefix.size() || !std::equal(prefix.begin(), prefix.end(), record->key.begin())) {
            return wrong("its key does not begin with the prefix");
        }
        last_key_ = std::move(record->key);
        bytes_ = lines.offset();
        ++records_;
    }
    const auto end = static_cast<off_t>(bytes_);
    if (::ftruncate(file_.get(), end) != 0 || ::lseek(file_.get(), end, SEEK_SET) != end) {
        return failed(errno);
    }
    return {};
}

Answer<void> ExportFile::append(std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(file_.get(), text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return failed(errno);
        }
        text.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return {};
}

Answer<void> ExportFile::sync() {
    if (::fsync(file_.get()) != 0) {
        return failed(errno);
    }
    const std::filesystem::path folder = path_.parent_path();
    if (const Result<void> synced = sync_folder(folder.empty() ? "." : folder); !synced) {
        return tl::unexpected<Failure>(failure_of(synced.error()));
    }
    return {};
}

}  // namespace loyal::cli
