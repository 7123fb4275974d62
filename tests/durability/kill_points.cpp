// Kill points: a small fixed workload, and a replica that dies at the first, second, ... call of all that change or
// sync a file, as a backup and as the primary; then writes that are torn in the middle, and calls that fail. After each
// the replica starts again, and what was acknowledged is there.
#include <signal.h>

#include <algorithm>
#include <array>
#include <thread>

#include <fmt/format.h>

#include "client/lab/record.h"
#include "tests/durability/load_round.h"
#include "tests/durability/parts.h"
#include "tests/durability/switch_file.h"
#include "tests/system/history.h"

namespace loyal::durability {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t workload_operations = 50, workload_keys = 10;
constexpr int exit_io = 69;
constexpr std::uint64_t never = std::uint64_t{1} << 40U;
constexpr auto state_write_ms = 2'500ms;  // the state is written every two seconds
constexpr std::uint64_t state_write_calls = 40;

struct KillSums {
    std::uint64_t kills = 0, ends = 0, acknowledged = 0, lost = 0, violations = 0, proofs = 0;
    std::array<std::uint64_t, file_calls> by_call{};
    std::vector<std::string> troubles;
};

class KillPoints {
 public:
    KillPoints(const Settings& settings, Report& report) : settings_(settings), report_(report) {
        fleet_ = std::make_unique<Fleet>(settings.folder / "cluster", FleetOptions{});
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            switches_.push_back(std::make_unique<SwitchFile>(settings.folder / fmt::format("switch-{}", id)));
        }
        client_ = fleet_->open_client("default", 20'000);
    }

    void run() {
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            start(id);
        }
        note(fleet_->settle());
        const std::uint64_t every = settings_.full ? 1 : 12;
        sweep("a backup dies before the call", false, KillHow::before, every);
        sweep("the primary dies before the call", true, KillHow::before, every * (settings_.full ? 1 : 2));
        sweep("a backup dies in the middle of a write", false, KillHow::torn, every * 2);
        during_start(every);
        failing_sync(settings_.full ? 20 : 3);
    }

 private:
    void start(std::uint16_t id) { fleet_->start(id, switches_[id]->wrapping()); }
    void note(const std::string& trouble) {
        if (!trouble.empty()) {
            sums_.troubles.push_back(trouble);
        }
    }

    // The same puts each time, with values of their own; says what was acknowledged, in order.
    std::vector<lab::Operation> workload() {
        ++rounds_;
        std::vector<lab::Operation> done;
        for (std::size_t i = 0; i < workload_operations; ++i) {
            lab::Operation operation;
            operation.op = "put";
            operation.key = fmt::format("fixed-{}", i % workload_keys);
            operation.value = fmt::format("{}.{}", rounds_, i);
            operation.call_ns = system_test::monotonic_ns();
            const client::WriteResult result =
                client_->write_sync(kvstore::Put{bytes_of(operation.key), bytes_of(*operation.value)});
            operation.ret_ns = system_test::monotonic_ns();
            operation.status = result.certainty == client::Certainty::done          ? lab::Operation::Status::ok
                               : result.certainty == client::Certainty::not_applied ? lab::Operation::Status::fail
                                                                                    : lab::Operation::Status::unknown;
            done.push_back(std::move(operation));
        }
        return done;
    }

    void judge(std::vector<lab::Operation> operations) {
        lab::Record record;
        record.operations = std::move(operations);
        for (std::size_t i = 0; i < workload_keys; ++i) {
            const std::string key = fmt::format("fixed-{}", i);
            kvstore::Range range;
            range.begin = bytes_of(key);
            const client::ReadResult read = client_->read_sync(range);
            if (!read.ok) {
                note("cannot read back: " + read.why);
                continue;
            }
            if (!read.range.items.empty()) {
                record.read_back[key] = string_of(read.range.items.front().value);
            } else {
                record.read_back[key] = std::nullopt;
            }
        }
        const RoundCounts counts = judge_round(record);
        sums_.acknowledged += counts.acknowledged;
        sums_.lost += counts.lost;
        sums_.violations += counts.violations;
        for (const std::string& text : counts.texts) {
            note(text);
        }
        for (const int held : fleet_->proofs()) {
            sums_.proofs += static_cast<std::uint64_t>(std::max(held, 0));
        }
    }

    [[nodiscard]] std::optional<std::uint16_t> choose(bool primary) {
        std::optional<std::uint16_t> leads;
        (void)system_test::eventually([&] { return (leads = fleet_->primary()).has_value(); }, 20s);
        if (!leads || primary) {
            return leads;
        }
        return static_cast<std::uint16_t>((*leads + 1) % fleet_->size());
    }

    // True when the process was killed at its n-th call.
    [[nodiscard]] bool one(bool primary, std::uint64_t n, KillHow how, std::uint64_t* calls = nullptr) {
        const auto victim = choose(primary);
        if (!victim) {
            note("no primary");
            return false;
        }
        const SwitchFile& its = *switches_[*victim];
        const std::uint64_t before = its.get().calls;
        its.arm(n, how);
        std::vector<lab::Operation> operations = workload();
        // It may lag behind those who acknowledged, and it writes the state in the background.
        (void)system_test::eventually([&] { return !fleet_->running(*victim) || fleet_->settle(1s).empty(); }, 20s);
        if (calls != nullptr) {
            std::this_thread::sleep_for(state_write_ms);
            *calls = its.get().calls - before;
        } else if (its.get().at > its.get().calls && its.get().at < its.get().calls + state_write_calls) {
            (void)system_test::eventually([&] { return its.get().hit > 0; }, 3s);
        }
        its.disarm();
        const bool killed = its.get().hit > 0;
        if (killed) {
            const int code = fleet_->wait_for_end(*victim, 10s);
            if (code != 128 + SIGKILL) {
                note(fmt::format("it ended with {}: {}", code, fleet_->last_words(*victim)));
            }
            ++sums_.by_call[its.get().hit_call];
            ++sums_.kills;
            start(*victim);
        }
        note(fleet_->settle());
        judge(std::move(operations));
        return killed;
    }

    void say(const std::string& what) {
        report_.line(fmt::format(
            "{}: {} kills ({} at pwrite, {} pwritev, {} write, {} sync, {} truncate, {} rename), {} "
            "writes acknowledged",
            what, sums_.kills, sums_.by_call[call_pwrite], sums_.by_call[call_pwritev], sums_.by_call[call_write],
            sums_.by_call[call_sync], sums_.by_call[call_truncate], sums_.by_call[call_rename], sums_.acknowledged));
        report_.check(
            sums_.kills > 0 && sums_.lost == 0 && sums_.violations == 0 && sums_.proofs == 0 && sums_.troubles.empty(),
            fmt::format("{}: {} acknowledged writes lost, {} histories wrong, {} proofs of conflicting "
                        "signatures",
                        what, sums_.lost, sums_.violations, sums_.proofs));
        for (std::size_t i = 0; i < std::min<std::size_t>(sums_.troubles.size(), 10); ++i) {
            report_.line(sums_.troubles[i]);
        }
        sums_ = {};
    }

    // As many points as the workload makes calls when nobody is killed. A replica that lags puts more into one call, so
    // now and then the workload ends before the n-th.
    void sweep(const std::string& what, bool primary, KillHow how, std::uint64_t every) {
        std::uint64_t calls = 0;
        (void)one(primary, never, how, &calls);
        sums_ = {};
        for (std::uint64_t n = 1; sums_.troubles.size() < 5 && n <= calls; n += every) {
            sums_.ends += one(primary, n, how) ? 0U : 1U;
        }
        report_.line(fmt::format("{}: {} calls in the undisturbed workload, every {} of them; {} times it ended before",
                                 what, calls, every, sums_.ends));
        say(what);
    }

    // The calls of the start itself.
    void during_start(std::uint64_t every) {
        const std::uint16_t victim = 3;
        const SwitchFile& its = *switches_[victim];
        for (std::uint64_t n = 1; sums_.troubles.size() < 5; n += every) {
            fleet_->kill(victim);
            std::vector<lab::Operation> operations = workload();
            its.arm(n, KillHow::before);
            start(victim);
            (void)system_test::eventually([&] { return !fleet_->running(victim) || fleet_->settle(1s).empty(); }, 20s);
            its.disarm();
            const bool killed = its.get().hit > 0;
            if (killed) {
                (void)fleet_->wait_for_end(victim, 10s);
                ++sums_.by_call[its.get().hit_call];
                ++sums_.kills;
                start(victim);
            }
            note(fleet_->settle());
            judge(std::move(operations));
            if (!killed) {
                break;
            }
        }
        say("a replica that was away dies while it starts and catches up");
    }

    // A failed sync: the named exit code, and the file is not synced again as if nothing had happened.
    void failing_sync(std::uint64_t times) {
        std::uint64_t hits = 0, codes = 0, again = 0;
        for (std::uint64_t n = 1; n <= times; ++n) {
            const std::uint16_t victim = 2;
            const SwitchFile& its = *switches_[victim];
            its.arm(3 * n, KillHow::fail_io);
            std::vector<lab::Operation> operations = workload();
            (void)system_test::eventually([&] { return !fleet_->running(victim); }, 5s);
            its.disarm();
            if (its.get().hit > 0) {
                ++hits;
                again += its.get().syncs_after_hit;
                const int code = fleet_->wait_for_end(victim, 5s);
                codes += code == exit_io ? 1U : 0U;
                note(code == exit_io ? "" : fmt::format("it ended with {}: {}", code, fleet_->last_words(victim)));
                start(victim);
            }
            note(fleet_->settle());
            judge(std::move(operations));
        }
        report_.check(hits > 0 && codes == hits && again == 0 && sums_.lost == 0 && sums_.troubles.empty(),
                      fmt::format("a write or sync that fails with EIO: {} times, {} ended with exit code {}, {} syncs "
                                  "of that file afterwards, {} acknowledged writes lost",
                                  hits, codes, exit_io, again, sums_.lost));
        for (const std::string& text : sums_.troubles) {
            report_.line(text);
        }
        sums_ = {};
    }

    const Settings& settings_;
    Report& report_;
    std::unique_ptr<Fleet> fleet_;
    std::vector<std::unique_ptr<SwitchFile>> switches_;
    std::unique_ptr<client::Client> client_;
    std::uint64_t rounds_ = 0;
    KillSums sums_;
};

}  // namespace

void kill_points(const Settings& settings, Report& report) {
    KillPoints(settings, report).run();
}

}  // namespace loyal::durability
