#include "sim/planner.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "sim/fault_mix.h"

namespace loyal::sim {

void Planner::write() {
    const std::size_t fb = s_.quorum().fb;
    const bool betrayed = theme_ == Theme::traitors || (theme_ == Theme::everything && !random_.one_in(4));
    if (fb > 0 && betrayed) {
        choose_traitors(random_.between(1, fb));
        turn_traitors();
    }
    if (theme_ == Theme::disks) {
        choose_weak();
    }
    TimeUs now = random_.between(20, 150) * ms;
    while (theme_ != Theme::calm && now + 50 * ms < s_.faults_end_us) {
        one_fault(now);
        now += random_.between(20, 400) * ms;
    }
    sort_plan();
}

// Replica 0 leads first. Together they tell each side its own story and vote for it there.
void Planner::write_betrayal() {
    s_.ending = Ending::stop;
    // As many as two quorums must share: f+1, or more where n is not the smallest for its f.
    const consensus::Quorum quorum = s_.quorum();
    choose_traitors(2 * quorum.q - quorum.n);
    if (std::find(s_.traitors.begin(), s_.traitors.end(), 0) == s_.traitors.end()) {
        s_.traitors.front() = 0;
    }
    for (const std::uint16_t traitor : s_.traitors) {
        behave(0, traitor, betrayal(traitor, s_.traitors));
    }
    if (!synchronous()) {
        keep_honest_apart();
    }
    sort_plan();
}

// The network is on the traitors' side: correct replicas hear each other late, so that each side has decided before it
// sees that there is another.
void Planner::keep_honest_apart() {
    std::uint32_t honest = 0;
    for (std::uint16_t id = 0; id < s_.n; ++id) {
        const bool is_traitor = std::find(s_.traitors.begin(), s_.traitors.end(), id) != s_.traitors.end();
        honest |= is_traitor ? 0U : std::uint32_t{1} << id;
    }
    const std::uint64_t delay_ms = random_.between(20, 120);
    for (std::uint16_t id = 0; id < s_.n; ++id) {
        if ((honest >> id & 1U) == 1) {
            add(0, FaultKind::link, id, 0, honest)->link.delay_ms = delay_ms;
        }
    }
}

FaultEvent* Planner::add(TimeUs at, FaultKind kind, std::uint16_t a, std::int64_t arg, std::uint32_t mask,
                         std::uint16_t b) {
    if (at >= s_.faults_end_us) {
        return nullptr;
    }
    FaultEvent event;
    event.at = at;
    event.kind = kind;
    event.a = a;
    event.b = b;
    event.mask = mask;
    event.arg = arg;
    s_.plan.push_back(std::move(event));
    return &s_.plan.back();
}

void Planner::behave(TimeUs at, std::uint16_t traitor, std::string what) {
    if (FaultEvent* event = add(at, FaultKind::behave, traitor)) {
        event->text = std::move(what);
    }
}

void Planner::sort_plan() {
    std::stable_sort(s_.plan.begin(), s_.plan.end(),
                     [](const FaultEvent& a, const FaultEvent& b) { return a.at < b.at; });
}

// ---- Traitors

void Planner::choose_traitors(std::size_t count) {
    while (s_.traitors.size() < count) {
        // Replica 0 leads first: a traitor there acts at once.
        const auto candidate = s_.traitors.empty() && random_.one_in(2) ? std::uint16_t{0} : any();
        if (std::find(s_.traitors.begin(), s_.traitors.end(), candidate) == s_.traitors.end()) {
            s_.traitors.push_back(candidate);
        }
    }
}

// From the start or later; some change their minds.
void Planner::turn_traitors() {
    for (const std::uint16_t traitor : s_.traitors) {
        behave(random_.one_in(2) ? 0 : random_.between(0, 500) * ms, traitor,
               random_fault(random_, s_.n, traitor, s_.traitors));
        if (random_.one_in(3)) {
            behave(random_.between(100, 1'500) * ms, traitor,
                   random_.one_in(4) ? "none" : random_fault(random_, s_.n, traitor, s_.traitors));
        }
    }
}

// ---- Everything else

void Planner::one_fault(TimeUs now) {
    if (!weak_.empty() && (theme_ == Theme::disks ? !random_.one_in(3) : random_.one_in(3))) {
        return weak_disk(now);
    }
    if (synchronous()) {
        return process_fault(now);
    }
    switch (theme_) {
        case Theme::network: return network(now);
        case Theme::crashes: return random_.one_in(4) ? disk(now) : crash(now);
        case Theme::clocks: return random_.one_in(3) ? pause(now) : clock(now);
        case Theme::traitors: return random_.one_in(3) ? network(now) : pause(now);
        default: break;
    }
    switch (random_.below(6)) {
        case 0:
        case 1: return network(now);
        case 2:
        case 3: return crash(now);
        case 4: return pause(now);
        default: return random_.one_in(2) ? clock(now) : disk(now);
    }
}

// Where time can be relied on, processes fail by ending or lying, not by being slow.
void Planner::process_fault(TimeUs now) {
    if (theme_ == Theme::crashes || theme_ == Theme::everything || random_.one_in(4)) {
        crash(now);
    }
}

void Planner::network(TimeUs now) {
    switch (random_.below(8)) {
        case 0: add(now, FaultKind::partition, 0, 0, some()); break;
        case 1: add(now, FaultKind::partition, 0, 0, std::uint32_t{1} << any()); break;
        case 2: add(now, FaultKind::one_way, 0, 0, some()); break;
        case 3: {
            const std::uint16_t a = any();
            add(now, FaultKind::cut_links, a, 0, 0,
                static_cast<std::uint16_t>((a + random_.between(1, s_.n - 1)) % s_.n));
            break;
        }
        case 4:
            add(now, FaultKind::storm, 0, 1);
            add(now + a_while(), FaultKind::storm);
            return;
        case 5:
        case 6: bad_link(now); break;
        default: {
            const auto client = static_cast<std::uint16_t>(random_.below(s_.workload.clients));
            add(now, FaultKind::cut_client, client, random_.one_in(2) ? 1 : 0, some(), any());
            add(now + a_while(), FaultKind::heal_clients);
            return;
        }
    }
    add(now + a_while(), FaultKind::heal_network);
}

// What one replica sends to some others, or answers, is lost, late, doubled or overtaken; what it hears is not.
void Planner::bad_link(TimeUs now) {
    FaultEvent* event = add(now, FaultKind::link, any(), random_.one_in(5) ? 1 : 0, some());
    if (event == nullptr) {
        return;
    }
    replica::LinkFault& link = event->link;
    const auto share = [&](std::uint64_t percent_max) { return static_cast<double>(random_.below(percent_max)) / 100; };
    switch (random_.below(5)) {
        case 0: link.drop = share(60); break;
        case 1: link.duplicate = share(80); break;
        case 2: link.reorder = share(80); break;
        case 3: link.delay_ms = random_.between(1, 300); break;
        default:
            link.drop = share(20);
            link.duplicate = share(20);
            link.reorder = share(40);
            link.delay_ms = random_.below(50);
            link.jitter_ms = random_.below(100);
            link.cut = random_.one_in(10);
    }
    if (random_.one_in(3)) {
        link.jitter_ms = random_.between(1, 50);
    }
}

void Planner::crash(TimeUs now) {
    if (s_.failures == Failures::crash_stop) {
        return crash_for_good(now);
    }
    if (random_.one_in(8) && stopped_ == 0) {
        return power_cut(now);
    }
    if (s_.failures == Failures::byzantine && random_.one_in(6)) {
        return crash_for_good(now);
    }
    const std::uint16_t victim = random_.one_in(3) ? std::uint16_t{0} : any();
    const auto down = static_cast<std::size_t>(
        std::count_if(down_until_.begin(), down_until_.end(), [now](TimeUs until) { return until > now; }));
    // Within what the cluster tolerates, but for one time in ten: then it must wait, and lose nothing.
    if (down_until_[victim] > now || (down + s_.traitors.size() >= s_.quorum().f && !random_.one_in(10))) {
        return synchronous() ? void() : pause(now);
    }
    die_somehow(now, victim);
    const TimeUs back = now + (random_.one_in(3) ? random_.between(1, 20) * ms : a_while());
    add(back, FaultKind::restart, victim);
    down_until_[victim] = back;
}

// With the traitors at most f, for ever: nobody comes back to make up for them.
void Planner::crash_for_good(TimeUs now) {
    const std::uint16_t victim = random_.one_in(3) ? std::uint16_t{0} : any();
    const bool is_traitor = std::find(s_.traitors.begin(), s_.traitors.end(), victim) != s_.traitors.end();
    if (down_until_[victim] > now || is_traitor || stopped_ + s_.traitors.size() + weak_.size() >= s_.quorum().f) {
        return synchronous() ? void() : pause(now);
    }
    if (random_.one_in(2)) {
        die_somehow(now, victim);
        now += random_.between(0, 40) * ms;
    }
    if (add(now, FaultKind::crash_stop, victim) != nullptr) {
        ++stopped_;
        down_until_[victim] = std::numeric_limits<TimeUs>::max();
    }
}

void Planner::power_cut(TimeUs now) {
    add(now, FaultKind::power_cut);
    const TimeUs back = now + a_while();
    add(back, FaultKind::restart_all);
    std::fill(down_until_.begin(), down_until_.end(), std::min(back, s_.faults_end_us));
}

void Planner::die_somehow(TimeUs now, std::uint16_t victim) {
    switch (random_.below(4)) {
        case 0: add(now, FaultKind::crash, victim); break;
        case 1: add(now, FaultKind::crash_midway, victim, static_cast<std::int64_t>(random_.between(1, 30))); break;
        case 2: add(now, FaultKind::crash_in_sync, victim); break;
        default: add(now, FaultKind::fail_sync, victim, random_.one_in(3) ? 1 : 0); break;
    }
}

void Planner::pause(TimeUs now) {
    add(now, FaultKind::pause, any(),
        static_cast<std::int64_t>(random_.one_in(3) ? random_.between(300, 900) * ms : random_.between(1, 120) * ms));
}

// One clock at a time: the chain's time must stay near that of the clocks that are right (H2 with q - f of them).
void Planner::clock(TimeUs now) {
    if (now < clock_until_) {
        return;
    }
    const std::uint16_t victim = any();
    const auto by_ms = static_cast<std::int64_t>(random_.between(50, 10'000));
    switch (random_.below(5)) {
        case 0: add(now, FaultKind::clock_freeze, victim); break;
        case 1: {
            const auto ppm = static_cast<std::int64_t>(random_.between(1'000, 500'000));
            add(now, FaultKind::clock_drift, victim, random_.one_in(2) ? ppm : -ppm);
            break;
        }
        case 2: add(now, FaultKind::clock_offset, victim, random_.one_in(2) ? by_ms : -by_ms); break;
        default: add(now, FaultKind::clock_jump, victim, random_.one_in(2) ? by_ms : -by_ms); break;
    }
    clock_until_ = now + a_while();
    add(clock_until_, FaultKind::clock_mend, victim);
}

void Planner::disk(TimeUs now) {
    const std::uint16_t victim = any();
    if (random_.one_in(4)) {
        add(now, FaultKind::refuse_writes, victim, 1);
        add(now + a_while(), FaultKind::refuse_writes, victim);
        return;
    }
    if (random_.one_in(4)) {
        add(now, FaultKind::disk_delay, victim, static_cast<std::int64_t>(random_.between(1, 100) * ms));
        add(now + a_while(), FaultKind::disk_delay, victim);
        return;
    }
    add(now, FaultKind::slow_disk, victim, static_cast<std::int64_t>(random_.between(5, 100)));
    add(now + a_while(), FaultKind::slow_disk, victim);
}

}  // namespace loyal::sim
