// Plans for disks that fail, rot, vanish or come back from the past.
#include <algorithm>
#include <array>

#include "sim/planner.h"

namespace loyal::sim {
namespace {

constexpr std::int64_t one_in_ten_ppm = 100'000;

}  // namespace

void Planner::choose_weak() {
    const std::size_t f = s_.quorum().f;
    const std::size_t room = f - std::min(f, s_.traitors.size());
    const std::size_t wanted = room == 0 ? 0 : random_.between(1, room);
    while (weak_.size() < wanted) {
        const std::uint16_t candidate = any();
        if (std::find(s_.traitors.begin(), s_.traitors.end(), candidate) == s_.traitors.end() &&
            std::find(weak_.begin(), weak_.end(), candidate) == weak_.end()) {
            weak_.push_back(candidate);
        }
    }
}

std::int64_t Planner::some_part() {
    return static_cast<std::int64_t>(
        random_.pick(std::array{DiskPart::all, DiskPart::all, DiskPart::state, DiskPart::log}));
}

void Planner::weak_disk(TimeUs now) {
    const std::uint16_t victim = weak_[random_.below(weak_.size())];
    if (down_until_[victim] > now) {
        return;
    }
    switch (random_.below(8)) {
        case 0:
        case 1: return bad_disk(now, victim);
        case 2:
        case 3: return rot(now, victim);
        case 4: return lose_disk(now, victim);
        case 5: return roll_back(now, victim);
        case 6: return stay_away(now, victim);
        default: break;
    }
    // In the crash fault model nobody contradicts the one replica whose word counts.
    if (s_.quorum().fb > 0) {
        add(now, FaultKind::diverge, victim);
    } else {
        rot(now, victim);
    }
}

void Planner::bad_disk(TimeUs now, std::uint16_t victim) {
    const auto troubles =
        random_.one_in(3) ? std::uint32_t{trouble_all} : static_cast<std::uint32_t>(random_.between(1, trouble_all));
    add(now, FaultKind::bad_disk, victim, one_in_ten_ppm, troubles);
    add(now + a_while(), FaultKind::bad_disk, victim);
}

// At once, and again: what is hidden shows only when somebody looks.
void Planner::rot(TimeUs now, std::uint16_t victim) {
    for (std::uint64_t i = random_.between(1, 6); i > 0; --i) {
        add(now + random_.below(100) * ms, FaultKind::rot, victim, some_part(), 0, random_.one_in(3) ? 1 : 0);
    }
    if (random_.one_in(3)) {  // noticed at a start at the latest
        const TimeUs crash = now + random_.between(50, 200) * ms;
        add(crash, FaultKind::crash, victim);
        back_up(crash + random_.between(1, 100) * ms, victim);
    }
}

void Planner::lose_disk(TimeUs now, std::uint16_t victim) {
    add(now, FaultKind::lose_disk, victim, some_part());
    back_up(now + a_while(), victim);
}

void Planner::roll_back(TimeUs now, std::uint16_t victim) {
    const std::int64_t part = s_.quorum().fb > 0 ? some_part() : static_cast<std::int64_t>(DiskPart::state);
    add(now, FaultKind::keep_image, victim);
    const TimeUs later = now + random_.between(50, 900) * ms;
    add(later, FaultKind::roll_back, victim, part);
    back_up(later + random_.between(1, 200) * ms, victim);
}

// Long enough that the others' logs no longer reach down to where it was.
void Planner::stay_away(TimeUs now, std::uint16_t victim) {
    add(now, FaultKind::crash, victim);
    back_up(now + random_.between(300, 1'500) * ms, victim);
}

void Planner::back_up(TimeUs at, std::uint16_t victim) {
    add(at, FaultKind::restart, victim);
    down_until_[victim] = std::min(at, s_.faults_end_us);
}

}  // namespace loyal::sim
