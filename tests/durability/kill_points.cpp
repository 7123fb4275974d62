// Kill points: a replica dies at the first, second, ... of all calls that change or sync a file in a small fixed
// workload: as a backup, as the primary, in the middle of a write, while it starts or fetches the state; then calls
// that fail with EIO. Lanes (kill_lane.h) take the points from one list, several at a time: most of a point's time is
// waiting.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/durability/kill_lane.h"

namespace loyal::durability {

namespace {

struct Sweep {
    const char* what;
    KillRole role;
    KillHow how;
    std::size_t points_short, points_full;  // of all that there are; 0: every one
};
constexpr std::size_t every = 0;
constexpr Sweep sweeps[] = {
    {"a backup dies before the call", KillRole::backup, KillHow::before, 24, every},
    {"the primary dies before the call", KillRole::primary, KillHow::before, 16, every},
    {"a backup dies in the middle of the write", KillRole::backup, KillHow::torn, 12, every},
    {"a replica that was away dies while it starts", KillRole::starting, KillHow::before, 10, every},
    {"a replica that fetches the state dies", KillRole::fetching, KillHow::before, 6, every},
    {"a write or sync fails with EIO", KillRole::backup, KillHow::fail_io, 3, 40},
};
constexpr std::size_t sweep_count = std::size(sweeps);
constexpr std::size_t lanes_short = 2, lanes_full = 3;
constexpr std::size_t troubles_max = 5, say_every = 200;

struct Entry {
    std::size_t sweep = 0;
    FileCall call = call_pwrite;
    std::uint64_t n = 0;
};

// Kind by kind; in the middle of a call only where there is one.
std::vector<Entry> points_of(std::size_t sweep, const CallCounts& counts) {
    std::vector<Entry> points;
    for (std::uint32_t call = 0; call < file_calls; ++call) {
        const bool writes = call != call_sync && call != call_truncate && call != call_rename;
        for (std::uint64_t n = 1; (writes || sweeps[sweep].how != KillHow::torn) && n <= counts[call]; ++n) {
            points.push_back({sweep, static_cast<FileCall>(call), n});
        }
    }
    return points;
}

// What the lanes share: points still to be tried, in order, and what came of the others. Thread-safe.
class Board {
 public:
    explicit Board(Report& report) : report_(report) {}

    // By one lane, once: the others wait for it.
    void open(const std::vector<CallCounts>& counts, bool full) {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < sweep_count; ++i) {
            const std::vector<Entry> all = points_of(i, counts[i]);
            counts_.push_back(all.size());
            const std::size_t wanted = full ? sweeps[i].points_full : sweeps[i].points_short;
            const std::size_t points = wanted == every ? all.size() : std::min(wanted, all.size());
            for (std::size_t k = 0; k < points; ++k) {
                todo_.push_back(
                    all[points < 2 ? 0 : k * (all.size() - 1) / (points - 1)]);  // from the first to the last
            }
        }
        open_ = true;
        changed_.notify_all();
    }
    // No list will come.
    void give_up(const std::string& why) {
        const std::lock_guard lock(mutex_);
        open_ = true;
        next_ = todo_.size();
        failures_.push_back(why);
        changed_.notify_all();
    }
    [[nodiscard]] std::optional<Entry> take() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return open_; });
        if (next_ == todo_.size() || troubles_ >= troubles_max) {
            return std::nullopt;
        }
        return todo_[next_++];
    }
    void done(std::size_t sweep, const KillSums& sums) {
        const std::lock_guard lock(mutex_);
        troubles_ += sums.troubles.size();
        sums_[sweep] += sums;
        if (++done_ % say_every == 0) {
            report_.line(fmt::format("{} of {} points", done_, todo_.size()));
        }
    }

    // When all lanes have ended.
    [[nodiscard]] std::uint64_t count(std::size_t sweep) const { return sweep < counts_.size() ? counts_[sweep] : 0; }
    [[nodiscard]] std::uint64_t chosen(std::size_t sweep) const {
        return static_cast<std::uint64_t>(
            std::count_if(todo_.begin(), todo_.end(), [&](const Entry& entry) { return entry.sweep == sweep; }));
    }
    [[nodiscard]] const KillSums& sums(std::size_t sweep) const { return sums_[sweep]; }
    [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
    Report& report_;  // under the mutex, until the lanes have ended
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    std::vector<std::uint64_t> counts_;  // of each sweep's points
    std::vector<Entry> todo_;
    std::size_t next_ = 0, done_ = 0, troubles_ = 0;
    KillSums sums_[sweep_count];
    std::vector<std::string> failures_;
};

// On a thread of its own, which its processes end with.
void run_lane(std::size_t number, const Settings& settings, Board& board) {
    try {
        KillLane lane(settings.folder / fmt::format("lane-{}", number));
        if (number == 0) {
            std::vector<CallCounts> counts;
            for (const Sweep& sweep : sweeps) {
                counts.push_back(lane.count(sweep.role));
            }
            board.open(counts, settings.full);
        }
        while (const auto entry = board.take()) {
            const Sweep& sweep = sweeps[entry->sweep];
            board.done(entry->sweep, lane.attempt({sweep.role, sweep.how, entry->call, entry->n}));
        }
    } catch (const std::exception& error) {
        board.give_up(error.what());
    }
}

void say(const Sweep& sweep, std::uint64_t all, std::uint64_t chosen, const KillSums& sums, Report& report) {
    std::vector<std::string> kinds;
    for (const auto& [kind, times] : sums.by_kind) {
        kinds.push_back(fmt::format("{} {}", times, kind));
    }
    report.line(
        fmt::format("{}: {} calls in the undisturbed run, {} points chosen, {} met ({}), {} operations, {} "
                    "writes acknowledged",
                    sweep.what, all, chosen, sums.covered, fmt::join(kinds, ", "), sums.operations, sums.acknowledged));
    report.check(chosen > 0 && sums.covered == chosen, fmt::format("{}: every chosen point was met", sweep.what));
    report.check(sums.lost + sums.violations + sums.proofs == 0 && sums.troubles.empty(),
                 fmt::format("{}: {} acknowledged writes lost, {} histories wrong, {} proofs of conflicting signatures",
                             sweep.what, sums.lost, sums.violations, sums.proofs));
    if (sweep.how == KillHow::fail_io) {
        report.check(sums.syncs_after == 0, "no file is synced again after a failure");
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(sums.troubles.size(), 10); ++i) {
        report.line(sums.troubles[i]);
    }
}

}  // namespace

void kill_points(const Settings& settings, Report& report) {
    Board board(report);
    std::vector<std::thread> lanes;
    for (std::size_t i = 0; i < (settings.full ? lanes_full : lanes_short); ++i) {
        std::filesystem::create_directories(settings.folder / fmt::format("lane-{}", i));
        lanes.emplace_back([&settings, &board, i] { run_lane(i, settings, board); });
    }
    for (std::thread& lane : lanes) {
        lane.join();
    }
    for (std::size_t i = 0; i < sweep_count; ++i) {
        say(sweeps[i], board.count(i), board.chosen(i), board.sums(i), report);
    }
    for (const std::string& failure : board.failures()) {
        report.check(false, failure);
    }
}

}  // namespace loyal::durability
