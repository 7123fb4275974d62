// Figures of coming back: a replica that is so far behind that the others have forgotten the blocks it lacks, and
// restarts with a large state.
#include <fstream>
#include <sstream>
#include <thread>

#include <fmt/format.h>

#include "tests/durability/http.h"
#include "tests/durability/load_round.h"
#include "tests/durability/parts.h"
#include "tests/durability/pump.h"

namespace loyal::durability {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t keys_full = 1'000'000, keys_short = 20'000, keys_busy = 50'000;

// A line of /proc/PID/status, in MiB. VmHWM: the most memory that the process ever had, with the pages of its data
// files that it had mapped and that the system may take back; RssAnon: without those, now.
double memory_mib(pid_t pid, std::string_view name) {
    std::ifstream file(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name)) {
            return std::stod(line.substr(name.size() + 1)) / 1024;
        }
    }
    return 0;
}

class CatchUp {
 public:
    CatchUp(const Settings& settings, Report& report, const std::string& name, std::uint64_t keys,
            std::uint64_t checkpoint_interval)
        : settings_(settings),
          report_(report),
          count_(keys),
          fleet_(settings.folder / name, options(checkpoint_interval)) {}

    void run() {
        leave_behind();
        come_back("a replica that was away", settings_.full ? 30'000 : 0);
        (void)fleet_.stop(away);
        std::filesystem::remove_all(fleet_.data(away));
        come_back("a replica whose whole disk is gone", 0);
        restart("after a clean stop", true, 3);
        restart("after kill -9", false, 15);
    }

    // As many writes as the others take, all the time.
    void run_under_load() {
        leave_behind();
        Pump pump(fleet_.open_client("default", 20'000), 64, 0, [this](std::uint64_t i) {
            return kvstore::Put{bulk_key(i * 7'919 % count_), bulk_value(i, 2)};
        });
        const std::uint64_t from = executed(0), acknowledged = pump.done();
        const auto begin = std::chrono::steady_clock::now();
        fleet_.start(away);
        const auto follows = [&] { return serves(port(away)) && executed(away) + 2 * interval() >= executed(0); };
        const bool back = system_test::eventually(follows, 120s);
        const double took_s = seconds_since(begin);
        const std::uint64_t checkpoints = (executed(0) - from) / interval();
        const auto writes = static_cast<double>(pump.done() - acknowledged);
        pump.stop();
        const std::string settled = fleet_.settle(60s);
        report_.check(back && settled.empty() && pump.failed() == 0,
                      fmt::format("{} keys behind while the others take {:.0f} writes a second, a checkpoint every {} "
                                  "blocks: it follows after {:.2f} s and {} checkpoints {}",
                                  count_, writes / took_s, interval(), took_s, checkpoints, settled));
    }

 private:
    static constexpr std::uint16_t away = 3;

    static FleetOptions options(std::uint64_t checkpoint_interval) {
        FleetOptions options;
        options.checkpoint_interval = checkpoint_interval;
        return options;
    }
    void leave_behind() {
        fleet_.start_all();
        report_.check(fleet_.settle().empty(), "four replicas");
        report_.check(fleet_.stop(away), "one is stopped");
        fill();
    }
    [[nodiscard]] std::uint64_t interval() const { return fleet_.cluster().checkpoint_interval; }

    [[nodiscard]] std::uint16_t port(std::uint16_t id) const { return fleet_.cluster().replicas[id].http_port; }

    void fill() {
        const auto begin = std::chrono::steady_clock::now();
        Pump pump(fleet_.open_client("default", 60'000), 2'000, count_, [](std::uint64_t i) {
            return kvstore::Put{bulk_key(i), bulk_value(i, 0)};
        });
        pump.wait();
        // The checkpoint that has all of them becomes stable two intervals later.
        Pump more(fleet_.open_client("default", 60'000), 1, 3 * interval(), [](std::uint64_t i) {
            return kvstore::Put{bytes_of(fmt::format("more-{}", i)), {}};
        });
        more.wait();
        const double took_s = seconds_since(begin);
        report_.check(pump.done() == count_,
                      fmt::format("{} keys of 64 bytes with values of 256 written in {:.1f} s, {:.0f} a "
                                  "second",
                                  pump.done(), took_s, static_cast<double>(count_) / took_s));
    }

    // Height that the replica has executed, by its own word.
    [[nodiscard]] std::uint64_t executed(std::uint16_t id) const {
        return static_cast<std::uint64_t>(metric(port(id), "loyal_executed_height").value_or(0));
    }

    void come_back(const std::string& what, double keys_per_s_min) {
        Kept kept;
        LoadRound load(fleet_, "light-" + std::to_string(++rounds_) + "/", settings_.seed, 1, 8, 20);
        const std::uint64_t before = load.answered();
        const std::uint64_t goal = executed(0);
        const auto begin = std::chrono::steady_clock::now();
        fleet_.start(away);
        double own_mib = 0;
        const auto arrived = [&] {
            own_mib = std::max(own_mib, memory_mib(fleet_.pid(away), "RssAnon"));
            return serves(port(away)) && executed(away) >= goal;
        };
        const bool back = system_test::eventually(arrived, settings_.full ? 600s : 60s);
        const double took_s = seconds_since(begin);
        const std::uint64_t served = load.answered() - before;
        const RoundCounts counts = load.finish(kept);
        const std::string settled = fleet_.settle(60s);
        const double rate = static_cast<double>(count_) / took_s;
        report_.check(
            back && settled.empty() && rate >= keys_per_s_min,
            fmt::format(
                "{}: {} keys in {:.2f} s, {:.0f} a second; peak memory {:.0f} MiB of its own, {:.0f} with mapped "
                "files (VmHWM), of another {:.0f} {}",
                what, count_, took_s, rate, own_mib, memory_mib(fleet_.pid(away), "VmHWM"),
                memory_mib(fleet_.pid(0), "VmHWM"), settled));
        report_.check(
            counts.lost + counts.violations == 0 && served > 0,
            fmt::format("{}: the others serve {:.0f} operations a second meanwhile, {} lost, {} histories wrong", what,
                        static_cast<double>(served) / took_s, counts.lost, counts.violations));
        sample(what);
    }

    // Through that replica alone.
    void sample(const std::string& what) {
        const auto client = fleet_.open_client("default", 5'000);
        std::uint64_t right = 0;
        constexpr std::uint64_t asked = 500;
        for (std::uint64_t i = 0; i < asked; ++i) {
            const std::uint64_t record = i * (count_ / asked);
            kvstore::Range range;
            range.begin = bulk_key(record);
            const client::ReadResult read = client->read_stale_sync(range, consensus::ReplicaId(away));
            right += read.ok && !read.range.items.empty() && read.range.items.front().value == bulk_value(record, 0)
                         ? 1U
                         : 0U;
        }
        report_.check(right == asked, fmt::format("{}: {} of {} keys read from it are right", what, right, asked));
    }

    void restart(const std::string& what, bool clean, double limit_s) {
        const std::uint16_t id = 1;
        if (clean) {
            report_.check(fleet_.stop(id, 60s), "it stops in order");
        } else {
            // With writes in its overlay.
            Pump pump(fleet_.open_client("default", 20'000), 64, 5'000, [](std::uint64_t i) {
                return kvstore::Put{bulk_key(i), bulk_value(i, 1)};
            });
            pump.wait();
            fleet_.kill(id);
        }
        const auto begin = std::chrono::steady_clock::now();
        fleet_.start(id);
        const bool back = system_test::eventually([&] { return serves(port(id)); }, 120s);
        const double took_s = seconds_since(begin);
        report_.check(back && took_s < limit_s,
                      fmt::format("restart with {} keys {}: serves after {:.2f} s (at most {:.0f})", count_, what,
                                  took_s, limit_s));
        const std::string settled = fleet_.settle(60s);
        report_.check(settled.empty(), "the same state " + settled);
    }

    const Settings& settings_;
    Report& report_;
    std::uint64_t count_;
    Fleet fleet_;
    int rounds_ = 0;
};

}  // namespace

void catch_up(const Settings& settings, Report& report) {
    CatchUp(settings, report, "cluster", settings.full ? keys_full : keys_short, settings.full ? 2'048 : 256).run();
    CatchUp(settings, report, "busy", keys_busy, 64).run_under_load();
}

}  // namespace loyal::durability
