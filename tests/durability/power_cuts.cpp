// Power cuts: each replica's data folder is on an ext4 of its own, whose shutdown ioctl makes everything that was not
// synced vanish. Any number of replicas lose power under load, at once; then they come back.
#include <algorithm>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/durability/disks.h"
#include "tests/durability/load_round.h"
#include "tests/durability/parts.h"
#include "tests/durability/switch_file.h"

namespace loyal::durability {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t cuts_full = 200, cuts_short = 10;
constexpr std::uint64_t disk_bytes = 512U << 20U;  // sparse
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
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            start(id);
        }
        note(fleet_->settle());
        for (std::uint64_t i = 0; i < cuts && sums_.troubles.size() < 5; ++i) {
            one_cut();
            if ((i + 1) % compare_every == 0 || i + 1 == cuts) {
                for (std::string& text : compare(*fleet_, kept_)) {
                    ++sums_.load.lost;
                    sums_.load.texts.push_back(std::move(text));
                }
                report_.line(fmt::format("{} cuts, {} acknowledged writes, {} lost", sums_.cuts,
                                         sums_.load.acknowledged, sums_.load.lost));
            }
        }
        say();
        fleet_.reset();
        for (const Ext4Disk& disk : disks_) {
            (void)disk.unmount();
        }
    }

 private:
    bool prepare() {
        if (const auto entered = enter_private_mounts(); !entered) {
            report_.skip(entered.error().message);
            return false;
        }
        for (const char* program : {"mkfs.ext4", "e2fsck", "mount"}) {
            if (!find_program(program)) {
                report_.skip(std::string(program) + " is not installed");
                return false;
            }
        }
        FleetOptions options;
        const fs::path folder = settings_.folder / "power";
        fs::create_directories(folder);
        for (std::uint16_t id = 0; id < options.replicas; ++id) {
            Result<Ext4Disk> disk =
                Ext4Disk::make(folder / fmt::format("{}.img", id), folder / fmt::format("disk-{}", id), disk_bytes);
            if (!disk) {
                report_.skip(disk.error().message);
                return false;
            }
            if (const auto mounted = disk->mount(); !mounted) {
                report_.skip("no loop device can be mounted here: " + mounted.error().message);
                return false;
            }
            disks_.push_back(std::move(*disk));
        }
        options.data = [folder](std::uint16_t id) { return folder / fmt::format("disk-{}", id) / "data"; };
        fleet_ = std::make_unique<Fleet>(folder / "cluster", options);
        ::sync();  // the birth records are from before the first cut
        return true;
    }

    void start(std::uint16_t id) {
        if (!settings_.lying_disks) {
            fleet_->start(id);
            return;
        }
        liars_.resize(fleet_->size());
        if (liars_[id] == nullptr) {
            liars_[id] = std::make_unique<SwitchFile>(settings_.folder / fmt::format("switch-{}", id));
            liars_[id]->arm(1, KillHow::lie);
        }
        fleet_->start(id, liars_[id]->environment());
    }

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
        LoadRound load(*fleet_, fmt::format("cut-{:03}/", sums_.cuts), random_());
        pause(150, 700);
        const std::vector<std::uint16_t> victims = choose_victims(random_, fleet_->size());
        sums_.of_all += victims.size() == fleet_->size() ? 1U : 0U;
        sums_.replicas += victims.size();
        for (const std::uint16_t id : victims) {
            note(disks_[id].cut());
        }
        if (random_() % 2 == 0) {
            pause(0, 30);  // it lives on for a moment, with a disk that refuses everything
        }
        for (const std::uint16_t id : victims) {
            fleet_->kill(id);
        }
        for (const std::uint16_t id : victims) {
            note(disks_[id].unmount());
            note(disks_[id].check());
            note(disks_[id].mount());
        }
        pause(0, 300);
        for (const std::uint16_t id : victims) {
            start(id);
        }
        pause(100, 300);
        sums_.load += load.finish(kept_);
        note(fleet_->settle(60s));
        for (std::uint16_t id = 0; id < fleet_->size(); ++id) {
            if (!fleet_->running(id)) {
                const int code = fleet_->wait_for_end(id, 1s);
                note(fmt::format("replica {} ended with {}: {}", id, code, fleet_->last_words(id)));
            }
        }
        for (const int held : fleet_->proofs()) {
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
    std::vector<Ext4Disk> disks_;
    std::vector<std::unique_ptr<SwitchFile>> liars_;
    std::unique_ptr<Fleet> fleet_;
    Kept kept_;
    Sums sums_;
};

}  // namespace

void power_cuts(const Settings& settings, Report& report) {
    PowerCuts(settings, report).run(settings.full ? cuts_full : cuts_short);
}

}  // namespace loyal::durability
