// Power cuts: each replica's data folder is on an ext4 of its own, whose shutdown ioctl makes everything that was not
// synced vanish. Any number of replicas lose power under load, at once; then they come back.
#include <algorithm>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/durability/load_round.h"
#include "tests/durability/parts.h"
#include "tests/durability/powered_fleet.h"
#include "tests/durability/switch_file.h"

namespace loyal::durability {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t cuts_full = 200, cuts_short = 10;
constexpr std::uint64_t compare_every = 20;

using Random = std::mt19937_64;

std::uint64_t between(Random& random, std::uint64_t low, std::uint64_t high) {
    return low + random() % (high - low + 1);
}

// A quarter of the cuts takes everybody; the rest any number below.
std::vector<std::uint16_t> choose_victims(Random& random, std::uint16_t n) {
    std::vector<std::uint16_t> ids(n);
    for (std::uint16_t id = 0; id < n; ++id) {
        ids[id] = id;
    }
    std::shuffle(ids.begin(), ids.end(), random);
    const std::uint64_t count = between(random, 0, 3) == 0 ? n : between(random, 1, n - 1U);
    ids.resize(count);
    return ids;
}

struct Sums {
    std::uint64_t cuts = 0, of_all = 0, replicas = 0, proofs = 0;
    std::vector<std::string> troubles;  // of the machinery or of the replicas: not started, not settled, two states
    RoundCounts load;
};

class PowerCuts {
 public:
    PowerCuts(const Settings& settings, Report& report)
        : settings_(settings), report_(report), random_(settings.seed) {}

    void run(std::uint64_t cuts) {
        if (!prepare()) {
            return;
        }
        fleet().start_all();
        note(fleet().settle());
        for (std::uint64_t i = 0; i < cuts && sums_.troubles.size() < 5; ++i) {
            one_cut();
            if ((i + 1) % compare_every == 0 || i + 1 == cuts) {
                for (std::string& text : compare(fleet(), kept_)) {
                    ++sums_.load.lost;
                    sums_.load.texts.push_back(std::move(text));
                }
                report_.line(fmt::format("{} cuts, {} acknowledged writes, {} lost", sums_.cuts,
                                         sums_.load.acknowledged, sums_.load.lost));
            }
        }
        say();
    }

 private:
    bool prepare() {
        Result<std::unique_ptr<PoweredFleet>> made = PoweredFleet::make(settings_.folder / "power");
        if (!made) {
            report_.skip(made.error().message);
            return false;
        }
        powered_ = std::move(*made);
        return true;
    }
    [[nodiscard]] Fleet& fleet() { return powered_->fleet(); }

    void note(const std::string& trouble) {
        if (!trouble.empty()) {
            sums_.troubles.push_back(fmt::format("cut {}: {}", sums_.cuts, trouble));
        }
    }
    void note(const Result<void>& done) { note(done ? "" : done.error().message); }

    void pause(std::uint64_t low_ms, std::uint64_t high_ms) {
        std::this_thread::sleep_for(std::chrono::milliseconds(between(random_, low_ms, high_ms)));
    }

    void one_cut() {
        ++sums_.cuts;
        LoadRound load(fleet(), fmt::format("cut-{:03}/", sums_.cuts), random_());
        pause(150, 700);
        const std::vector<std::uint16_t> victims = choose_victims(random_, fleet().size());
        sums_.of_all += victims.size() == fleet().size() ? 1U : 0U;
        sums_.replicas += victims.size();
        for (const std::uint16_t id : victims) {
            note(powered_->cut(id));
        }
        if (random_() % 2 == 0) {
            pause(0, 30);  // it lives on for a moment, with a disk that refuses everything
        }
        for (const std::uint16_t id : victims) {
            fleet().kill(id);
        }
        for (const std::uint16_t id : victims) {
            note(powered_->power_back(id));
        }
        pause(0, 300);
        for (const std::uint16_t id : victims) {
            fleet().start(id);
        }
        pause(100, 300);
        sums_.load += load.finish(kept_);
        note(fleet().settle(60s));
        for (std::uint16_t id = 0; id < fleet().size(); ++id) {
            if (!fleet().running(id)) {
                const int code = fleet().wait_for_end(id, 1s);
                note(fmt::format("replica {} ended with {}: {}", id, code, fleet().last_words(id)));
            }
        }
        for (const int held : fleet().proofs()) {
            sums_.proofs += static_cast<std::uint64_t>(std::max(held, 0));
            note(held < 0 ? "a replica does not say what it can prove" : "");
        }
    }

    void say() {
        report_.line(
            fmt::format("seed {}: {} cuts ({} of all four at once, {} replicas in all), {} writes "
                        "acknowledged, {} unknown, {} reads, {} undecided",
                        settings_.seed, sums_.cuts, sums_.of_all, sums_.replicas, sums_.load.acknowledged,
                        sums_.load.unknown, sums_.load.reads, sums_.load.undecided));
        report_.check(sums_.load.acknowledged > 10 * sums_.cuts, "there was load under every cut");
        report_.check(sums_.load.lost == 0, fmt::format("{} acknowledged writes lost", sums_.load.lost));
        report_.check(sums_.load.violations + sums_.load.undecided == 0,
                      fmt::format("{} histories not linearizable", sums_.load.violations));
        report_.check(sums_.proofs == 0, fmt::format("{} proofs of conflicting signatures", sums_.proofs));
        report_.check(sums_.troubles.empty(), "every replica came back and reached the others' state");
        for (const auto* texts : {&sums_.troubles, &sums_.load.texts}) {
            for (std::size_t i = 0; i < std::min<std::size_t>(texts->size(), 10); ++i) {
                report_.line((*texts)[i]);
            }
        }
    }

    const Settings& settings_;
    Report& report_;
    Random random_;
    std::unique_ptr<PoweredFleet> powered_;
    Kept kept_;
    Sums sums_;
};

// The check of the check: when disks say "synced" and are not, a cut of all four has to show.
class LyingDisks {
 public:
    LyingDisks(const Settings& settings, Report& report) : settings_(settings), report_(report) {}

    void run() {
        Result<std::unique_ptr<PoweredFleet>> made = PoweredFleet::make(settings_.folder / "lying");
        if (!made) {
            report_.skip(made.error().message);
            return;
        }
        powered_ = std::move(*made);
        Fleet& fleet = powered_->fleet();
        for (std::uint16_t id = 0; id < fleet.size(); ++id) {
            switches_.push_back(std::make_unique<SwitchFile>(settings_.folder / fmt::format("switch-{}", id)));
            fleet.start(id, switches_[id]->environment());
        }
        std::string trouble = fleet.settle();
        const std::uint64_t honest = put_all("honest", 20);
        for (const auto& each : switches_) {
            each->arm(1, KillHow::lie);
        }
        const std::uint64_t acknowledged = put_all("lied", writes);
        for (std::uint16_t id = 0; id < fleet.size(); ++id) {
            trouble += error_of(powered_->cut(id));
        }
        for (std::uint16_t id = 0; id < fleet.size(); ++id) {
            fleet.kill(id);
            trouble += error_of(powered_->power_back(id));
        }
        fleet.start_all();
        report_.check(trouble.empty() && honest > 0 && acknowledged == writes,
                      fmt::format("disks that lie: {} writes acknowledged {}", acknowledged, trouble));
        look(acknowledged);
    }

 private:
    static constexpr std::uint64_t writes = 100;

    static std::string error_of(const Result<void>& done) { return done ? "" : done.error().message; }
    static Bytes key(const char* prefix, std::uint64_t i) { return bytes_of(fmt::format("{}-{}", prefix, i)); }

    [[nodiscard]] std::uint64_t put_all(const char* prefix, std::uint64_t count) {
        const auto client = powered_->fleet().open_client("default", 10'000);
        std::uint64_t done = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            done += client->write_sync(kvstore::Put{key(prefix, i), bytes_of("v")}).certainty == client::Certainty::done
                        ? 1U
                        : 0U;
        }
        return done;
    }

    // How it shows: replicas that end, writes that are not there, or nobody who answers.
    void look(std::uint64_t acknowledged) {
        Fleet& fleet = powered_->fleet();
        const auto client = fleet.open_client("default", 2'000);
        std::uint64_t there = 0, missing = 0, unanswered = 0, ended = 0;
        for (std::uint64_t i = 0; i < acknowledged && unanswered < 2; ++i) {
            kvstore::Range range;
            range.begin = key("lied", i);
            const client::ReadResult read = client->read_sync(range);
            ++(!read.ok ? unanswered : read.range.items.empty() ? missing : there);
        }
        std::uint64_t recovering = 0;
        const std::vector<nlohmann::json> rows = fleet.status();
        for (std::uint16_t id = 0; id < fleet.size(); ++id) {
            ended += fleet.running(id) ? 0U : 1U;
            recovering += rows[id].is_object() && rows[id]["role"] == "recovering" ? 1U : 0U;
        }
        report_.check(
            missing + unanswered + ended > 0,
            fmt::format("disks that lie are found out: {} acknowledged writes lost, {} there, {} reads without "
                        "an answer; {} replicas ended, {} say that they may have forgotten votes",
                        missing, there, unanswered, ended, recovering));
    }

    const Settings& settings_;
    Report& report_;
    std::unique_ptr<PoweredFleet> powered_;
    std::vector<std::unique_ptr<SwitchFile>> switches_;
};

}  // namespace

void power_cuts(const Settings& settings, Report& report) {
    PowerCuts(settings, report).run(settings.full ? cuts_full : cuts_short);
    LyingDisks(settings, report).run();
}

}  // namespace loyal::durability
