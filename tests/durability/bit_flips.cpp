// Bit flips: single bits of the data files of two of five replicas, anywhere and in records of every table, in a
// cluster of the crash fault model, where a client believes one replica's word: nobody outvotes a wrong answer. Each
// flip is first looked at alone (`loyal inspect`); then several at once are met by a replica that starts, is asked,
// repairs itself, and is inspected again. Damage of a single record and damage of anything else take turns, because
// pages that are damaged cost a whole environment, and what was wrong with its records is gone with it.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "tests/durability/fleet.h"
#include "tests/durability/flip_places.h"
#include "tests/durability/http.h"
#include "tests/durability/parts.h"
#include "tests/durability/pump.h"

namespace loyal::durability {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t flips_full = 2'000, flips_short = 32;
constexpr std::uint64_t flips_at_once = 8;  // at each of the two
constexpr std::uint64_t key_count = 300;
constexpr std::uint16_t victims[] = {3, 4};
// A replica that lost its log waits for three planned view changes.
constexpr std::uint64_t rotation_ms = 500;
constexpr std::chrono::seconds repaired_within = 60s;

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
        report_.check(fleet_.settle().empty(), "five replicas, crash fault model");
        write(0);
        report_.check(fleet_.settle().empty() && ask(victims[0], true).right > 2 * key_count,
                      "all keys can be read from the replica");
        stop_victims();
        while (flips_ < flips && troubles_.size() < 5 && wrong_.empty()) {
            one_round();
            if (rounds_ % 10 == 0) {
                report_.line(fmt::format("{} flips in {} rounds", flips_, rounds_));
            }
        }
        while_they_run();
        say(flips);
    }

 private:
    static FleetOptions options() {
        FleetOptions options;
        options.replicas = 5;
        options.fault_model = consensus::FaultModel::crash;
        options.recovery_rotation_ms = rotation_ms;
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
            troubles_.push_back(fmt::format("round {}: {}", rounds_, trouble));
            report_.line(troubles_.back());  // at once: a long run can be watched
        }
    }

    [[nodiscard]] std::pair<int, std::string> inspect(std::uint16_t victim) const {
        const system_test::Ran ran = system_test::run(
            {(system_test::program_folder() / "loyal").string(), "inspect", fleet_.data(victim).string()});
        return {ran.exit, ran.out + ran.error};
    }
    [[nodiscard]] std::uint16_t http_port(std::uint16_t victim) const {
        return fleet_.cluster().replicas[victim].http_port;
    }

    // Through that replica alone; with `linearizable`, some through the cluster as well.
    [[nodiscard]] Answers ask(std::uint16_t victim, bool linearizable) {
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
            const auto take = [&answers, &mutex, &idle, &open, &question, victim](const client::ReadResult& result) {
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
                    answers.wrong.push_back(fmt::format("replica {}: {} items instead of {} from {}", victim,
                                                        items.size(), question.items.size(),
                                                        string_of(question.range.begin)));
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

    // ---- A round: the victims are stopped before and after

    void one_round() {
        ++rounds_;
        for (const std::uint16_t victim : victims) {
            damaged_[victim] = damage(victim);
        }
        for (const std::uint16_t victim : victims) {
            fleet_.start(victim);
        }
        for (const std::uint16_t victim : victims) {
            (void)system_test::eventually(
                [&] { return !http_get(http_port(victim), "/health").empty() || !fleet_.running(victim); }, 10s);
            refused_ += ask(victim, true).refused;
        }
        write(rounds_);
        bool back = true;
        for (const std::uint16_t victim : victims) {
            back = wait_until_repaired(victim) && back;
        }
        note(back ? fleet_.settle() : "");
        for (const std::uint16_t victim : victims) {
            const Answers answers = ask(victim, true);
            note(answers.refused == 0 ? ""
                                      : fmt::format("replica {}: {} questions are not answered after the repair",
                                                    victim, answers.refused));
        }
        stop_victims();
    }

    // Each flip alone, then all of them. True if some were noticed.
    [[nodiscard]] bool damage(std::uint16_t victim) {
        std::vector<FlipPlace> places;
        bool any = false;
        for (std::uint64_t i = 0; i < flips_at_once; ++i) {
            places.push_back(rounds_ % 2 == 0 ? anywhere(fleet_.data(victim), random_)
                                              : in_record(fleet_.data(victim), turn_++, random_));
            const FlipPlace& place = places.back();
            flip(place);
            const auto [exit, text] = inspect(victim);
            flip(place);
            ++flips_;
            any = any || exit != 0;
            noticed_ += exit != 0 ? 1U : 0U;
            dead_ += exit == 0 ? 1U : 0U;
            crashed_ += text.find("signal") != std::string::npos || text.find("crash") != std::string::npos ? 1U : 0U;
            if (!place.table.empty()) {
                ++in_table_[place.table];
                note(exit != 0 ? ""
                               : fmt::format("inspection does not notice bit {} at {} of {}, in a record of table {}",
                                             place.bit, place.offset, place.file.string(), place.table));
            }
        }
        for (const FlipPlace& place : places) {
            flip(place);
        }
        return any;
    }

    // It serves, says nothing of damage, and has read all of its log and state again since.
    [[nodiscard]] bool wait_until_repaired(std::uint16_t victim) {
        const auto whole = [&] {
            const auto row = fleet_.status().at(victim);
            const bool serves = row.is_object() && (row["role"] == "primary" || row["role"] == "backup");
            return serves && row["alarms"].empty();
        };
        const auto rounds = [&] {
            return std::pair(metric(http_port(victim), "loyal_scrub_rounds_total").value_or(0),
                             metric(http_port(victim), "loyal_log_scrub_rounds_total").value_or(0));
        };
        const auto begun = std::chrono::steady_clock::now();
        const auto left = [&] {
            return std::chrono::duration_cast<std::chrono::seconds>(repaired_within -
                                                                    (std::chrono::steady_clock::now() - begun));
        };
        bool back = true;
        for (int times = 0; back && times < 2; ++times) {  // the second time with nothing left to be found
            const auto before = rounds();
            back = system_test::eventually(
                [&] {
                    const auto now = rounds();
                    return !fleet_.running(victim) || (now.first > before.first + 1 && now.second > before.second + 1);
                },
                left());
            back = back && system_test::eventually([&] { return !fleet_.running(victim) || whole(); }, left());
        }
        slowest_s_ = std::max(slowest_s_, seconds_since(begun));
        if (!fleet_.running(victim)) {
            const int exit = fleet_.wait_for_end(victim, 1s);  // what it said is there after that
            note(fmt::format("replica {} ended with {}: {}", victim, exit, fleet_.last_words(victim)));
            return false;
        }
        if (!back) {
            const auto row = fleet_.status().at(victim);
            note(fmt::format("replica {} is not repaired in time: {}", victim,
                             row.is_object() ? row["role"].dump() + " " + row["alarms"].dump() : "no answer"));
        }
        return back;
    }

    void stop_victims() {
        for (const std::uint16_t victim : victims) {
            if (!fleet_.running(victim)) {
                continue;
            }
            const auto count = [&](const char* name) {
                return static_cast<std::uint64_t>(metric(http_port(victim), name).value_or(0));
            };
            states_ += count("loyal_state_repairs_total");
            blocks_ += count("loyal_log_blocks_repaired_total");
            records_ += count("loyal_log_records_mended_total");
            note(fleet_.stop(victim) ? "" : fmt::format("replica {} did not stop in order", victim));
            const auto [exit, text] = inspect(victim);
            note(exit == 0 ? "" : fmt::format("replica {}: damage is left: {}", victim, text.substr(0, 300)));
            repaired_ += damaged_[victim] && exit == 0 ? 1U : 0U;
            damaged_folders_ += std::exchange(damaged_[victim], false) ? 1U : 0U;
        }
    }

    // Rot in records of replicas that serve.
    void while_they_run() {
        for (const std::uint16_t victim : victims) {
            fleet_.start(victim);
        }
        note(fleet_.settle());
        for (std::uint64_t round = 0; round < (settings_.full ? 20U : 2U); ++round) {
            const std::uint16_t victim = victims[round % std::size(victims)];
            const Result<std::string> rot = fleet_.control(victim, "disk rot=20");
            note(rot ? "" : rot.error().message);
            (void)ask(victim, true);
            write(1'000 + round);
            note(wait_until_repaired(victim) ? fleet_.settle() : "");
            note(ask(victim, true).refused == 0 ? "" : "questions are not answered after rot");
            ++rot_rounds_;
        }
        for (const std::uint16_t victim : victims) {
            damaged_[victim] = rot_rounds_ > 0;
        }
        stop_victims();
    }

    void say(std::uint64_t flips) {
        report_.line(
            fmt::format("seed {}: {} of {} flips: {} noticed by inspection ({} where LMDB crashes), {} in dead bytes",
                        settings_.seed, flips_, flips, noticed_, crashed_, dead_));
        std::string tables;
        for (const auto& [table, count] : in_table_) {
            tables += fmt::format("{}{} {}", tables.empty() ? "" : ", ", table, count);
        }
        report_.line("of these in records: " + tables);
        report_.line(
            fmt::format("{} rounds of {} met by each of two replicas that start; {} questions refused meanwhile; {} "
                        "rounds of rot in 20 records while they ran",
                        rounds_, flips_at_once, refused_, rot_rounds_));
        report_.line(
            fmt::format("repaired: {} states, {} blocks and {} other records of logs in place; the slowest "
                        "replica took {:.1f} s",
                        states_, blocks_, records_, slowest_s_));
        report_.check(wrong_.empty(), fmt::format("{} wrong answers", wrong_.size()));
        report_.check(
            damaged_folders_ > 0 && repaired_ == damaged_folders_,
            fmt::format("{} of {} damaged folders were repaired: inspection finds nothing, the state is the others'",
                        repaired_, damaged_folders_));
        report_.check(troubles_.empty(), "every flip in a record was noticed, every replica came back");
        for (std::size_t i = 0; i < std::min<std::size_t>(wrong_.size(), 10); ++i) {
            report_.line(wrong_[i]);
        }
    }

    const Settings& settings_;
    Report& report_;
    std::mt19937_64 random_;
    Fleet fleet_;
    std::uint64_t rounds_ = 0, turn_ = 0, flips_ = 0, noticed_ = 0, dead_ = 0, crashed_ = 0, refused_ = 0,
                  repaired_ = 0, damaged_folders_ = 0, rot_rounds_ = 0, states_ = 0, blocks_ = 0, records_ = 0;
    double slowest_s_ = 0;
    std::map<std::string, std::uint64_t> in_table_;
    std::map<std::uint16_t, bool> damaged_;
    std::vector<std::string> wrong_, troubles_;
};

}  // namespace

void bit_flips(const Settings& settings, Report& report) {
    BitFlips(settings, report).run(settings.full ? flips_full : flips_short);
}

}  // namespace loyal::durability
