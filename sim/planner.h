// Planner: writes the plan of faults of a scenario whose shape is known: picks faults one after the other, within what
// its timing and failure model allow, and puts the end of each in as well.
#pragma once

#include <vector>

#include "sim/scenario.h"

namespace loyal::sim {

// What a run concentrates on; everything at once hides what each does alone.
enum class Theme : std::uint8_t { calm, network, crashes, traitors, clocks, disks, everything };

class Planner {
 public:
    Planner(Scenario& scenario, Random& random, Theme theme)
        : s_(scenario), random_(random), theme_(theme), down_until_(scenario.n, 0) {}

    void write();
    // Instead of write(): as many traitors as can break the cluster, who work together (Mix::too_many_traitors).
    void write_betrayal();

 private:
    [[nodiscard]] bool synchronous() const { return s_.timing == Timing::synchronous; }
    [[nodiscard]] std::uint16_t any() { return static_cast<std::uint16_t>(random_.below(s_.n)); }
    [[nodiscard]] std::uint32_t some() {  // neither none nor all
        return static_cast<std::uint32_t>(random_.between(1, (std::uint64_t{1} << s_.n) - 2));
    }
    [[nodiscard]] TimeUs a_while() { return random_.between(30, 800) * ms; }
    FaultEvent* add(TimeUs at, FaultKind kind, std::uint16_t a = 0, std::int64_t arg = 0, std::uint32_t mask = 0,
                    std::uint16_t b = 0);
    void behave(TimeUs at, std::uint16_t traitor, std::string what);
    void sort_plan();

    void choose_traitors(std::size_t count);
    void turn_traitors();
    void keep_honest_apart();
    void one_fault(TimeUs now);
    void process_fault(TimeUs now);
    void network(TimeUs now);
    void bad_link(TimeUs now);
    void crash(TimeUs now);
    void crash_for_good(TimeUs now);
    void power_cut(TimeUs now);
    void die_somehow(TimeUs now, std::uint16_t victim);
    void pause(TimeUs now);
    void clock(TimeUs now);
    void disk(TimeUs now);

    // planner_disks.cpp: disks that lie and lose. Their replicas, the traitors and the dead are at most f together.
    void choose_weak();
    void weak_disk(TimeUs now);
    void bad_disk(TimeUs now, std::uint16_t victim);
    void rot(TimeUs now, std::uint16_t victim);
    void lose_disk(TimeUs now, std::uint16_t victim);
    void roll_back(TimeUs now, std::uint16_t victim);
    void stay_away(TimeUs now, std::uint16_t victim);
    void back_up(TimeUs at, std::uint16_t victim);
    [[nodiscard]] std::int64_t some_part();

    Scenario& s_;
    Random& random_;
    Theme theme_;
    std::vector<TimeUs> down_until_;
    std::size_t stopped_ = 0;
    std::vector<std::uint16_t> weak_;  // whose disks are not what they should be
    TimeUs clock_until_ = 0;
};

}  // namespace loyal::sim
