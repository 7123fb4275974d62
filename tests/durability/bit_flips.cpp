// Bit flips: single bits of a replica's data files, anywhere, in a cluster of the crash fault model, where a client
// believes one replica's word: nobody outvotes a wrong answer. Each flip is first looked at alone (`loyal inspect`);
// then several at once are met by a replica that starts, is asked, repairs itself, and is inspected again.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "tests/durability/fleet.h"
#include "tests/durability/http.h"
#include "tests/durability/parts.h"
#include "tests/durability/pump.h"

namespace loyal::durability {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t flips_full = 2'000, flips_short = 40;
constexpr std::uint64_t flips_at_once = 8;
constexpr std::uint64_t key_count = 300;
constexpr std::uint16_t victim = 2;

struct Flip {
    fs::path file;
    std::uint64_t offset = 0;
    std::uint8_t bit = 0;
};

void flip(const Flip& flip) {
    const int file = ::open(flip.file.c_str(), O_RDWR | O_CLOEXEC);
    std::uint8_t byte = 0;
    const auto at = static_cast<off_t>(flip.offset);
    if (file < 0 || ::pread(file, &byte, 1, at) != 1) {
        throw std::runtime_error("cannot read " + flip.file.string());
    }
    byte = static_cast<std::uint8_t>(byte ^ (1U << flip.bit));
    if (::pwrite(file, &byte, 1, at) != 1) {
        throw std::runtime_error("cannot write " + flip.file.string());
    }
    ::close(file);
}

// Up to the last page that any transaction had (MDB_meta of LMDB 0.9: mm_last_pg of both meta pages): behind it are
// holes and zeros.
std::uint64_t used_bytes(const fs::path& file) {
    constexpr off_t page_bytes = 4096, last_page_at = 136;
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    std::uint64_t last = 0;
    for (off_t meta = 0; meta < 2; ++meta) {
        std::uint64_t page = 0;
        if (::pread(descriptor, &page, sizeof page, meta * page_bytes + last_page_at) == sizeof page) {
            last = std::max(last, page);
        }
    }
    struct stat status {};
    ::fstat(descriptor, &status);
    ::close(descriptor);
    return std::min<std::uint64_t>((last + 1) * page_bytes, static_cast<std::uint64_t>(status.st_size));
}

// What the replica said about all keys, present and absent, and whole ranges.
struct Answers {
    std::uint64_t right = 0, refused = 0;
    std::vector<std::string> wrong;
};

class BitFlips {
 public:
    BitFlips(const Settings& settings, Report& report)
        : settings_(settings),
          report_(report),
          random_(settings.seed),
          fleet_(settings.folder / "cluster", options()) {}

    void run(std::uint64_t flips) {
        fleet_.start_all();
        report_.check(fleet_.settle().empty(), "three replicas, crash fault model");
        write(0);
        report_.check(fleet_.settle().empty() && ask(true).right > 2 * key_count,
                      "all keys can be read from the replica");
        (void)fleet_.stop(victim);
        report_.check(inspect().first == 0, "its files are found intact");
        for (std::uint64_t done = 0; done < flips && troubles_.size() < 5 && wrong_.empty(); done += flips_at_once) {
            one_group();
        }
        while_it_runs();
        say(flips);
    }

 private:
    static FleetOptions options() {
        FleetOptions options;
        options.replicas = 3;
        options.fault_model = consensus::FaultModel::crash;
        return options;
    }

    // Some keys change in each round, so that blocks, checkpoints and both generations of pages move.
    void write(std::uint64_t round) {
        Pump pump(fleet_.open_client("default", 20'000), 4, round == 0 ? 4 * key_count : 150, [round](std::uint64_t i) {
            const std::uint64_t key = round == 0 ? i % key_count : (i * 37 + round) % key_count;
            return kvstore::Put{bulk_key(key), bulk_value(key, 0)};
        });
        pump.wait();
        note(pump.failed() == 0 ? "" : fmt::format("{} writes failed", pump.failed()));
    }
    void note(const std::string& trouble) {
        if (!trouble.empty()) {
            troubles_.push_back(fmt::format("group {}: {}", groups_, trouble));
        }
    }

    [[nodiscard]] std::pair<int, std::string> inspect() const {
        const system_test::Ran ran = system_test::run(
            {(system_test::program_folder() / "loyal").string(), "inspect", fleet_.data(victim).string()});
        return {ran.exit, ran.out + ran.error};
    }

    [[nodiscard]] Flip choose() {
        std::vector<fs::path> files;
        for (const auto& entry : fs::recursive_directory_iterator(fleet_.data(victim))) {
            if (entry.path().filename() == "data.mdb") {
                files.push_back(entry.path());
            }
        }
        std::sort(files.begin(), files.end());
        // Each environment alike: the state is smaller than the log.
        const fs::path& file = files.at(random_() % files.size());
        return {file, random_() % used_bytes(file), static_cast<std::uint8_t>(random_() % 8)};
    }

    // Through that replica alone; with `linearizable`, some through the cluster as well.
    [[nodiscard]] Answers ask(bool linearizable) {
        struct Question {
            kvstore::Range range;
            std::vector<std::pair<Bytes, Bytes>> items;  // what is right
        };
        std::vector<Question> questions;
        std::map<Bytes, Bytes> all;
        for (std::uint64_t i = 0; i < key_count; ++i) {
            all[bulk_key(i)] = bulk_value(i, 0);
        }
        for (const auto& [key, value] : all) {
            Question present, absent;
            present.range.begin = key;
            present.items = {{key, value}};
            absent.range.begin = key;
            absent.range.begin.push_back('!');  // its neighbour
            questions.push_back(std::move(present));
            questions.push_back(std::move(absent));
        }
        for (const bool reverse : {false, true}) {
            Question range;
            range.range.begin = all.begin()->first;
            range.range.end = Bytes{0xFF};
            range.range.reverse = reverse;
            range.items.assign(all.begin(), all.end());
            if (reverse) {
                std::reverse(range.items.begin(), range.items.end());
            }
            questions.push_back(std::move(range));
        }
        const auto client = fleet_.open_client("default", 3'000);
        Answers answers;
        std::mutex mutex;
        std::condition_variable idle;
        std::size_t open = 0;
        const auto ask_one = [&](const Question& question, bool through_quorum) {
            {
                std::unique_lock lock(mutex);
                idle.wait(lock, [&] { return open < 200; });
                ++open;
            }
            const auto take = [&answers, &mutex, &idle, &open, &question](const client::ReadResult& result) {
                const std::lock_guard lock(mutex);
                std::vector<std::pair<Bytes, Bytes>> items;
                for (const kvstore::Item& item : result.range.items) {
                    items.emplace_back(item.key, item.value);
                }
                if (!result.ok) {
                    ++answers.refused;
                } else if (items == question.items) {
                    ++answers.right;
                } else {
                    answers.wrong.push_back(fmt::format("{} items instead of {} from {}", items.size(),
                                                        question.items.size(), string_of(question.range.begin)));
                }
                --open;
                idle.notify_all();
            };
            if (through_quorum) {
                client->read(question.range, take);
            } else {
                client->read_stale(question.range, take, consensus::ReplicaId(victim));
            }
        };
        for (std::size_t i = 0; i < questions.size(); ++i) {
            ask_one(questions[i], false);
            if (linearizable && i % 20 == 0) {
                ask_one(questions[i], true);
            }
        }
        std::unique_lock lock(mutex);
        idle.wait(lock, [&] { return open == 0; });
        wrong_.insert(wrong_.end(), answers.wrong.begin(), answers.wrong.end());
        return answers;
    }

    // The replica is stopped before and after.
    void one_group() {
        ++groups_;
        bool any = false;
        std::vector<Flip> flips;
        for (std::uint64_t i = 0; i < flips_at_once; ++i) {
            flips.push_back(choose());
            flip(flips.back());
            const auto [exit, text] = inspect();
            flip(flips.back());
            ++flips_;
            any = any || exit != 0;
            noticed_ += exit != 0 ? 1U : 0U;
            dead_ += exit == 0 ? 1U : 0U;
            crashed_ += text.find("signal") != std::string::npos || text.find("crash") != std::string::npos ? 1U : 0U;
        }
        for (const Flip& each : flips) {
            flip(each);
        }
        fleet_.start(victim);
        const std::uint16_t port = fleet_.cluster().replicas[victim].http_port;
        (void)system_test::eventually([&] { return !http_get(port, "/health").empty() || !fleet_.running(victim); },
                                      10s);
        refused_ += ask(true).refused;
        write(groups_);
        note(fleet_.settle(30s));
        const Answers answers = ask(true);
        note(answers.refused == 0 ? ""
                                  : fmt::format("{} questions are not answered after the repair", answers.refused));
        if (!fleet_.running(victim)) {
            note(fmt::format("the replica ended with {}: {}", fleet_.wait_for_end(victim, 1s),
                             fleet_.last_words(victim)));
            return;
        }
        note(fleet_.stop(victim) ? "" : "it did not stop in order");
        const auto [exit, text] = inspect();
        note(exit == 0 ? "" : "damage is left: " + text.substr(0, 300));
        repaired_ += any && exit == 0 ? 1U : 0U;
        damaged_groups_ += any ? 1U : 0U;
    }

    // Rot in records of a replica that serves.
    void while_it_runs() {
        fleet_.start(victim);
        note(fleet_.settle());
        for (std::uint64_t round = 0; round < (settings_.full ? 20U : 2U); ++round) {
            const Result<std::string> rot = fleet_.control(victim, "disk rot=20");
            note(rot ? "" : rot.error().message);
            (void)ask(true);
            write(1'000 + round);
            (void)system_test::eventually([&] { return ask(false).refused == 0; }, 30s);
            note(fleet_.settle());
            ++rot_rounds_;
        }
        note(fleet_.stop(victim) ? "" : "it did not stop in order");
        fleet_.start(victim);
        note(fleet_.settle());
        note(ask(true).refused == 0 ? "" : "questions are not answered after rot");
    }

    void say(std::uint64_t flips) {
        report_.line(
            fmt::format("seed {}: {} of {} flips: {} noticed by inspection ({} where LMDB crashes), {} in dead bytes",
                        settings_.seed, flips_, flips, noticed_, crashed_, dead_));
        report_.line(
            fmt::format("{} groups of {} met by a replica that starts, {} with live damage; {} questions refused "
                        "meanwhile; {} rounds of rot in 20 records while it ran",
                        groups_, flips_at_once, damaged_groups_, refused_, rot_rounds_));
        report_.check(wrong_.empty(), fmt::format("{} wrong answers", wrong_.size()));
        report_.check(
            damaged_groups_ > 0 && repaired_ == damaged_groups_,
            fmt::format("{} of {} damaged folders were repaired: inspection finds nothing, the state is the others'",
                        repaired_, damaged_groups_));
        report_.check(troubles_.empty(), "every replica came back");
        for (const auto* texts : {&wrong_, &troubles_}) {
            for (std::size_t i = 0; i < std::min<std::size_t>(texts->size(), 10); ++i) {
                report_.line((*texts)[i]);
            }
        }
    }

    const Settings& settings_;
    Report& report_;
    std::mt19937_64 random_;
    Fleet fleet_;
    std::uint64_t groups_ = 0, flips_ = 0, noticed_ = 0, dead_ = 0, crashed_ = 0, refused_ = 0, repaired_ = 0,
                  damaged_groups_ = 0, rot_rounds_ = 0;
    std::vector<std::string> wrong_, troubles_;
};

}  // namespace

void bit_flips(const Settings& settings, Report& report) {
    BitFlips(settings, report).run(settings.full ? flips_full : flips_short);
}

}  // namespace loyal::durability
