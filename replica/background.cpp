#include "replica/background.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "replica/serve_committed.h"

namespace loyal::replica {
namespace {

constexpr std::chrono::seconds look_every{1};
constexpr std::chrono::milliseconds look_for_room_every{100};
// Below the threads that serve clients; what those leave is plenty.
constexpr int nice_level = 5;
constexpr std::size_t chunk_bytes_max = std::size_t{48} << 20;
constexpr int requests_per_peer_max = 64;
constexpr int client_requests_max = 512;
// Records of the log that are read again in one step of its scrub.
constexpr std::size_t scrubbed_per_step = 16;

}  // namespace

std::uint64_t free_bytes(const std::filesystem::path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

std::uint64_t total_bytes(const std::filesystem::path& path) {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) {
        return 0;
    }
    return static_cast<std::uint64_t>(info.f_blocks) * info.f_frsize;
}

std::uint64_t allocated_bytes(const std::filesystem::path& path) {
    constexpr std::uint64_t stat_block_bytes = 512;  // stat(2)
    std::uint64_t total = 0;
    std::error_code error;
    for (std::filesystem::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
        struct stat info {};
        if (::lstat(at->path().c_str(), &info) == 0) {
            total += static_cast<std::uint64_t>(info.st_blocks) * stat_block_bytes;
        }
    }
    return total;
}

Background::Background(const kvstore::ConsensusLog& log, KeeperOptions options, Inbox<ServedRange>& served,
                       Inbox<KeeperEvent>& events, Inbox<DiskUse>& disk, Room& room)
    : log_(log),
      data_(options.setup.data),
      served_(served),
      disk_(disk),
      room_(room),
      keeper_(options, log, [&events](KeeperEvent event) { events.push(std::move(event)); }) {
    for (std::size_t i = 0; i < options.replicas; ++i) {
        requests_[consensus::ReplicaId(static_cast<std::uint16_t>(i))] = 0;
    }
    room_.on_wanted([this] { queue_.push(LookForRoom{}); });
    thread_ = std::thread([this] { run(); });
}

Background::~Background() {
    stop();
}

void Background::stop() {
    room_.on_wanted({});
    queue_.stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Background::submit(BackgroundTask task) {
    if (const auto* chunk = std::get_if<TakeChunk>(&task)) {
        const std::size_t bytes = chunk->chunk.content ? chunk->chunk.content->size() + 256 : 256;
        if (chunk_bytes_.load() + bytes > chunk_bytes_max) {
            return;
        }
        chunk_bytes_ += bytes;
    } else if (const auto* request = std::get_if<ServeState>(&task)) {
        const auto waiting = requests_.find(request->to);
        if (waiting == requests_.end() || waiting->second.load() >= requests_per_peer_max) {
            return;
        }
        ++waiting->second;
    }
    queue_.push(std::move(task));
}

void Background::run() {
    (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), nice_level);  // of this thread alone, on Linux
    auto next_look = std::chrono::steady_clock::now();
    auto next_step = next_look;
    Time next_room = Time::max();
    while (!queue_.stopped()) {
        for (BackgroundTask& task : queue_.take_until(std::min({next_look, next_step, next_room}))) {
            std::visit([this](auto& one) { handle(one); }, task);
        }
        next_step = keeper_.step();
        log_pace_.look(&std::chrono::steady_clock::now, [this] { return scrub_log(); });
        if (std::chrono::steady_clock::now() >= next_look) {
            look_at_disk();
            next_look = std::chrono::steady_clock::now() + look_every;
        }
        next_room = look_for_room(next_room);
    }
}

void Background::handle(const consensus::ServeCommitted& request) {
    served_.push({request.to, read_committed(log_, request)});
}

bool Background::submit_client(ServeClient task) {
    if (client_requests_.load() >= client_requests_max) {
        return false;
    }
    ++client_requests_;
    queue_.push(std::move(task));
    return true;
}

void Background::handle(const ServeClient& task) {
    --client_requests_;
    if (task.key) {
        keeper_.prove(task.link, task.nonce, *task.key);
    } else {
        keeper_.serve_client(task.link, task.nonce, task.request);
    }
}

void Background::handle(const ServeState& task) {
    --requests_.at(task.to);
    keeper_.serve(task.to, task.request);
}

void Background::handle(const TakeChunk& task) {
    chunk_bytes_ -= task.chunk.content ? task.chunk.content->size() + 256 : 256;
    keeper_.chunk(task.from, task.chunk);
}

// When to do it again: never, if nobody waits.
Background::Time Background::look_for_room(Time due) {
    const Time now = std::chrono::steady_clock::now();
    if (!room_.awaited()) {
        return Time::max();
    }
    if (due != Time::max() && now < due) {
        return due;
    }
    if (due != Time::max()) {
        room_.tell();
    }
    return now + look_for_room_every;
}

void Background::look_at_disk() {
    DiskUse use{free_bytes(data_), total_bytes(data_), log_.used_bytes(), 0, 0, log_.damaged_blocks(), log_.repairs()};
    std::error_code error;
    for (std::filesystem::directory_iterator at(data_, error), end; !error && at != end; at.increment(error)) {
        if (at->path().filename().string().starts_with("state.")) {
            const std::uint64_t generation_bytes = allocated_bytes(at->path());
            use.kv_bytes += generation_bytes;
            use.kv_largest_bytes = std::max(use.kv_largest_bytes, generation_bytes);
        }
    }
    disk_.push(use);
}

// Reads on through the records; what does not open is remembered by the log itself.
ScrubPace::Step Background::scrub_log() {
    const auto step = log_.scrub(next_scrubbed_, scrubbed_per_step);
    if (!step) {
        next_scrubbed_ = 0;
        spdlog::error("event=log_unreadable why=\"{}\"", step.error().message);
        return ScrubPace::Step::failed;
    }
    next_scrubbed_ = step->next;
    log_scrubbed_.fetch_add(step->records, std::memory_order_relaxed);
    if (step->next != 0) {
        return ScrubPace::Step::more;
    }
    log_scrubs_.fetch_add(1, std::memory_order_relaxed);
    return ScrubPace::Step::round_over;
}

}  // namespace loyal::replica
