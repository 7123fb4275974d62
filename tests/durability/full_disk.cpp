// Full disks: each replica's data folder is on a tmpfs of its own, which a file of ballast fills. One full replica is
// one that fails; when all are full, writes are refused at once and surely, reads go on, and room alone mends
// everything.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "tests/durability/disks.h"
#include "tests/durability/http.h"
#include "tests/durability/kill_switch.h"
#include "tests/durability/load_round.h"
#include "tests/durability/parts.h"
#include "tests/durability/switch_file.h"

namespace loyal::durability {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::uint64_t disk_bytes = 96U << 20U;
constexpr std::uint64_t nearly_full_bytes = 3U << 20U;
constexpr int exit_not_applied = 3;

class Ballast {
 public:
    explicit Ballast(const fs::path& disk) : path_(disk / "ballast") {}
    // Until no more than so much is free.
    void fill(std::uint64_t leave_bytes) const {
        struct statvfs info {};
        const int file = ::open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        ::fstatvfs(file, &info);
        const std::uint64_t room = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
        if (room > leave_bytes) {
            const off_t size = ::lseek(file, 0, SEEK_END);
            (void)::posix_fallocate(file, size, static_cast<off_t>(room - leave_bytes));
        }
        ::close(file);
    }
    void drop() const { fs::remove(path_); }

 private:
    fs::path path_;
};

class FullDisks {
 public:
    FullDisks(const Settings& settings, Report& report) : settings_(settings), report_(report) {}

    void run() {
        if (const auto entered = enter_private_mounts(); !entered) {
            report_.skip(entered.error().message);
            return;
        }
        FleetOptions options;
        const fs::path folder = settings_.folder;
        for (std::uint16_t id = 0; id < options.replicas; ++id) {
            const fs::path disk = folder / fmt::format("disk-{}", id);
            if (const auto mounted = mount_tmpfs(disk, disk_bytes); !mounted) {
                report_.skip(mounted.error().message);
                return;
            }
            ballast_.emplace_back(disk);
            switches_.push_back(std::make_unique<SwitchFile>(folder / fmt::format("switch-{}", id)));
        }
        options.data = [folder](std::uint16_t id) { return folder / fmt::format("disk-{}", id) / "data"; };
        fleet_ = std::make_unique<Fleet>(folder / "cluster", options);
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            fleet_->start(id, switches_[id]->environment());
        }
        const std::string settled = fleet_->settle();
        report_.check(settled.empty(), "four replicas on disks of 96 MiB " + settled);
        one_full("a backup's disk is full", false);
        one_full("the primary's disk is full", true);
        refused_writes();
        all_full();
        fleet_.reset();
        for (std::uint16_t id = 0; id < options.replicas; ++id) {
            (void)unmount(folder / fmt::format("disk-{}", id));
        }
    }

 private:
    [[nodiscard]] bool says_full(std::uint16_t id) {
        const json row = fleet_->status()[id];
        return row.is_object() && row["alarms"].dump().find("disk") != std::string::npos;
    }
    [[nodiscard]] bool await_alarm(std::uint16_t id, bool on) {
        return system_test::eventually([&] { return says_full(id) == on; }, 10s);
    }
    // Operations answered while `load` goes on for so long.
    [[nodiscard]] static std::uint64_t answered_in(const LoadRound& load, std::chrono::milliseconds time) {
        const std::uint64_t before = load.answered();
        std::this_thread::sleep_for(time);
        return load.answered() - before;
    }
    [[nodiscard]] bool all_run() const {
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            if (!fleet_->running(id)) {
                return false;
            }
        }
        return true;
    }
    void judge(const std::string& what, const RoundCounts& counts) {
        report_.check(
            counts.lost + counts.violations + counts.undecided == 0,
            fmt::format("{}: {} writes acknowledged, {} refused, {} unknown; {} lost, {} histories wrong", what,
                        counts.acknowledged, counts.refused, counts.unknown, counts.lost, counts.violations));
        for (const std::string& text : counts.texts) {
            report_.line(text);
        }
    }

    // It is one of the f that may fail: the others go on, and with room it follows again by itself.
    void one_full(const std::string& what, bool primary) {
        const auto leads = fleet_->primary();
        const auto id =
            static_cast<std::uint16_t>(primary ? leads.value_or(0) : (leads.value_or(0) + 1) % fleet_->size());
        LoadRound load(*fleet_, fmt::format("one-{}/", primary), settings_.seed + 1);
        std::this_thread::sleep_for(300ms);
        ballast_[id].fill(nearly_full_bytes);
        const bool alarm = await_alarm(id, true);
        const std::uint16_t port = fleet_->cluster().replicas[id].http_port;
        const bool health = http_get(port, "/health").find("disk") != std::string::npos;
        const bool metrics = http_get(port, "/metrics").find("\nloyal_alarms 1") != std::string::npos;
        (void)answered_in(load, primary ? 3s : 500ms);  // a view change
        const std::uint64_t nearly = answered_in(load, 1500ms);
        ballast_[id].fill(0);
        const std::uint64_t entirely = answered_in(load, 2500ms);
        const bool alive = fleet_->running(id);
        ballast_[id].drop();
        const bool over = await_alarm(id, false);
        const auto freed = std::chrono::steady_clock::now();
        judge(what, load.finish(kept_));
        const std::string settled = fleet_->settle();
        report_.check(alarm && health && metrics, what + ": alarm in status, /health and metrics");
        report_.check(
            nearly > 50 && entirely > 50,
            fmt::format("{}: the others go on, {} operations in 1.5 s with {} MiB left, {} in 2.5 s with none", what,
                        nearly, nearly_full_bytes >> 20U, entirely));
        report_.check(alive && over && settled.empty() && all_run(),
                      fmt::format("{}: it follows again without a restart, {:.1f} s after there is room {}", what,
                                  seconds_since(freed), settled));
    }

    // ENOSPC in the middle of whatever is being written.
    void refused_writes() {
        const std::uint64_t times = settings_.full ? 40 : 6;
        std::uint64_t hits = 0;
        RoundCounts sums;
        std::string trouble;
        for (std::uint64_t n = 1; n <= times && trouble.empty(); ++n) {
            const std::uint16_t id = static_cast<std::uint16_t>(n % fleet_->size());
            LoadRound load(*fleet_, fmt::format("enospc-{}/", n), settings_.seed + n, 4, 6);
            switches_[id]->arm(7 * n, KillHow::fail_space);
            std::this_thread::sleep_for(600ms);
            hits += switches_[id]->get().hit > 0 ? 1U : 0U;
            switches_[id]->disarm();
            sums += load.finish(kept_);
            trouble = fleet_->settle();
            if (!fleet_->running(id)) {
                trouble +=
                    fmt::format(" replica {} ended with {}", id, fleet_->wait_for_end(id, 1s)) + fleet_->last_words(id);
            }
        }
        judge(fmt::format("every write fails with ENOSPC for a while, {} times", hits), sums);
        report_.check(hits == times && trouble.empty(),
                      "a refused write ends nobody, and is made when there is room " + trouble);
    }

    void all_full() {
        LoadRound load(*fleet_, "all/", settings_.seed + 100);
        std::this_thread::sleep_for(500ms);
        for (const Ballast& each : ballast_) {
            each.fill(nearly_full_bytes);
        }
        bool alarms = true;
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            alarms = await_alarm(id, true) && alarms;
        }
        report_.check(alarms, "all disks are full: all four say so");
        puts_are_refused();
        reads_go_on();
        std::this_thread::sleep_for(500ms);
        for (const Ballast& each : ballast_) {
            each.drop();
        }
        const auto freed = std::chrono::steady_clock::now();
        const auto client = fleet_->open_client("default", 500);
        const bool mended = system_test::eventually(
            [&] {
                return client->write_sync(kvstore::Put{bytes_of("after"), {}}).certainty == client::Certainty::done;
            },
            20s);
        const double took_s = seconds_since(freed);
        judge("while all were full", load.finish(kept_));
        const std::string settled = fleet_->settle();
        report_.check(mended && settled.empty() && all_run(),
                      fmt::format("writes are accepted again {:.1f} s after there is room, without a restart {}",
                                  took_s, settled));
        std::uint64_t there = 0;
        for (const std::string& key : refused_) {
            kvstore::Range range;
            range.begin = bytes_of(key);
            const client::ReadResult read = fleet_->open_client("default", 10'000)->read_sync(range);
            there += !read.ok || !read.range.items.empty() ? 1U : 0U;
        }
        report_.check(there == 0,
                      fmt::format("{} of {} writes that were surely not applied are there", there, refused_.size()));
    }

    void puts_are_refused() {
        const auto client = fleet_->open_client("default", 5'000);
        const int count = 20;
        int refused = 0;
        double slowest_s = 0;
        for (int i = 0; i < count; ++i) {
            const std::string key = fmt::format("refused-{}", i);
            const auto begin = std::chrono::steady_clock::now();
            const client::WriteResult result = client->write_sync(kvstore::Put{bytes_of(key), bytes_of("no")});
            slowest_s = std::max(slowest_s, seconds_since(begin));
            if (result.certainty == client::Certainty::not_applied) {
                ++refused;
                refused_.push_back(key);
            }
        }
        report_.check(refused == count && slowest_s < 1,
                      fmt::format("{} of {} puts are surely not applied, the slowest answer after {:.0f} ms", refused,
                                  count, slowest_s * 1e3));
        const auto begin = std::chrono::steady_clock::now();
        const system_test::Ran ran =
            system_test::run({(system_test::program_folder() / "loyal").string(), "--cluster",
                              fleet_->cluster().directory.string(), "put", "refused-by-tool", "no"});
        refused_.emplace_back("refused-by-tool");
        report_.check(ran.exit == exit_not_applied && ran.error.find("disk_full") != std::string::npos,
                      fmt::format("loyal put ends with {} after {:.0f} ms: {}", ran.exit, seconds_since(begin) * 1e3,
                                  ran.error.substr(0, ran.error.find('\n'))));
    }

    void reads_go_on() {
        const auto client = fleet_->open_client("default", 5'000);
        std::uint64_t right = 0;
        for (const auto& [key, value] : kept_) {
            kvstore::Range range;
            range.begin = bytes_of(key);
            const client::ReadResult read = client->read_sync(range);
            right += read.ok && (read.range.items.empty() ? "" : string_of(read.range.items.front().value)) == value
                         ? 1U
                         : 0U;
        }
        report_.check(!kept_.empty() && right == kept_.size(),
                      fmt::format("{} of {} keys are read while all are full", right, kept_.size()));
    }

    const Settings& settings_;
    Report& report_;
    std::vector<Ballast> ballast_;
    std::vector<std::unique_ptr<SwitchFile>> switches_;
    std::unique_ptr<Fleet> fleet_;
    Kept kept_;
    std::vector<std::string> refused_;
};

}  // namespace

void full_disks(const Settings& settings, Report& report) {
    FullDisks(settings, report).run();
}

}  // namespace loyal::durability
