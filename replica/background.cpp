#include "replica/background.h"

#include <sys/statvfs.h>

#include <utility>

#include "config/limits.h"

namespace loyal::replica {
namespace {

constexpr std::chrono::seconds look_every{1};

std::size_t weight(const consensus::Block& block) {
    return block.body->size() + 512;
}

}  // namespace

std::uint64_t free_bytes(const std::filesystem::path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Result<consensus::Blocks> read_committed(const kvstore::ConsensusLog& log, const consensus::ServeCommitted& request) {
    auto range = log.committed_range(request.from, request.top, limits::fetch_bytes_max);
    if (!range) {
        return tl::unexpected<Error>(std::move(range.error()));
    }
    consensus::Blocks blocks;
    blocks.headers = std::move(range->headers);
    blocks.commit = std::move(range->certificate);
    blocks.blocks = std::move(range->blocks);
    const consensus::Height reached = blocks.headers.empty() ? request.from.minus(1) : blocks.headers.back().height;
    if (blocks.blocks.size() < blocks.headers.size() || reached < request.top) {
        return blocks;  // more committed blocks are to come before the tail is of use
    }
    std::size_t bytes = 0;
    for (const consensus::BlockPtr& block : blocks.blocks) {
        bytes += weight(*block);
    }
    for (const consensus::BlockPtr& block : request.tail.blocks) {
        bytes += weight(*block);
        if (bytes > limits::fetch_bytes_max) {
            break;
        }
        blocks.blocks.push_back(block);
    }
    blocks.prepare = request.tail.prepare;
    return blocks;
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
