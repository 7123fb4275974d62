#include "replica/background.h"

#include <sys/statvfs.h>

#include <utility>

#include "replica/serve_committed.h"

namespace loyal::replica {
namespace {

constexpr std::chrono::seconds look_every{1};

}  // namespace

std::uint64_t free_bytes(const std::filesystem::path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Background::Background(const kvstore::ConsensusLog& log, const kvstore::Store& kv, std::filesystem::path data,
                       Inbox<ServedRange>& served, Inbox<DiskUse>& disk)
    : log_(log), kv_(kv), data_(std::move(data)), served_(served), disk_(disk), thread_([this] { run(); }) {}

Background::~Background() {
    stop();
}

void Background::stop() {
    queue_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Background::run() {
    auto next_look = std::chrono::steady_clock::now();
    while (!queue_.stopped()) {
        for (const consensus::ServeCommitted& request : queue_.take_until(next_look)) {
            served_.push({request.to, read_committed(log_, request)});
        }
        if (std::chrono::steady_clock::now() >= next_look) {
            look_at_disk();
            next_look = std::chrono::steady_clock::now() + look_every;
        }
    }
}

void Background::look_at_disk() {
    disk_.push({free_bytes(data_), log_.used_bytes(), kv_.used_bytes()});
}

}  // namespace loyal::replica
