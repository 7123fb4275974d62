#include "sim/scenario.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "replica/faults/fault_model.h"

namespace loyal::sim {
namespace {

using consensus::FaultModel;

enum Stream : std::uint64_t { shape_stream = 1, plan_stream = 2 };

// What a run concentrates on; everything at once hides what each does alone.
enum class Theme { calm, network, crashes, traitors, clocks, everything };

Theme pick_theme(Random& random) {
    static constexpr std::array<Theme, 10> themes{Theme::calm,       Theme::network,   Theme::network,  Theme::crashes,
                                                  Theme::crashes,    Theme::traitors,  Theme::traitors, Theme::clocks,
                                                  Theme::everything, Theme::everything};
    return random.pick(themes);
}

void shape_cluster(Scenario& s, Random& random) {
    s.fault_model = random.below(10) < 7 ? FaultModel::byzantine : FaultModel::crash;
    if (s.fault_model == FaultModel::byzantine) {
        s.n = random.pick(std::array<std::size_t, 8>{4, 4, 4, 4, 4, 5, 6, 7});
    } else {
        s.n = random.pick(std::array<std::size_t, 5>{3, 3, 3, 4, 5});
    }
    s.window = random.pick(std::array<std::uint64_t, 4>{1, 2, 4, 8});
    s.core.tick_ms = random.pick(std::array<std::uint64_t, 3>{5, 10, 20});
    s.core.heartbeat_ms = random.between(40, 80);
    s.core.order_latency_ms = random.between(20, 60);
    s.core.progress_min_ms = random.between(200, 500);
    s.core.progress_max_ms = random.between(1'500, 3'000);
    s.core.precision_ms = random.between(100, 300);
    s.core.message_delay_ms = random.between(500, 1'200);
}

void shape_world(Scenario& s, Random& random) {
    s.calm.delay_min_us = random.between(20, 300);
    s.calm.delay_spread_us = random.between(10, 1'000);
    s.calm.ordered = !random.one_in(4);
    s.quality = s.calm;
    if (random.one_in(2)) {
        s.quality.delay_spread_us = random.between(1'000, 15'000);
        s.quality.slow_ppm = 20'000;
        s.quality.slow_us = random.between(20, 300) * ms;
        s.quality.ordered = random.one_in(3);
    }
    s.storm = s.quality;
    s.storm.loss_ppm = static_cast<std::uint32_t>(random.between(10'000, 300'000));
    s.storm.duplicate_ppm = static_cast<std::uint32_t>(random.below(100'000));
    s.storm.corrupt_ppm = static_cast<std::uint32_t>(random.below(30'000));
    s.storm.slow_ppm = 100'000;
    s.storm.slow_us = 200 * ms;
    s.storm.ordered = false;
    // Offsets and drift together stay within half of PRECISION, so that any two clocks are within it.
    const auto bound = static_cast<std::int64_t>(s.core.precision_ms / 2 - 10);
    for (std::size_t i = 0; i < s.n; ++i) {
        ClockShape clock;
        clock.offset_ms = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * bound))) - bound;
        clock.drift_ppm = static_cast<std::int64_t>(random.below(401)) - 200;
        s.clocks.push_back(clock);
    }
    s.disk.sync_min_us = random.between(50, 500);
    s.disk.sync_spread_us = random.between(50, random.one_in(3) ? 20'000 : 1'500);
    s.disk.write_back_us = random.between(5, 200) * ms;
    s.disk.write_back_synced = random.one_in(3);
    s.execute_us = random.between(1, random.one_in(8) ? 3'000 : 60);
    s.batch_us = random.between(0, 100);
}

void shape_workload(Scenario& s, Random& random) {
    WorkloadShape& w = s.workload;
    w.clients = random.between(1, 4);
    w.shared_key = random.one_in(3);
    w.operations = random.between(5, 30);
    w.outstanding = random.between(1, 4);
    w.keys = random.between(1, 4);
    w.retry_ms = random.between(60, 150);
    w.timeout_ms = random.one_in(3) ? random.between(500, 3'000) : 300'000;
    s.faults_end_us = random.between(800, 2'500) * ms;
    w.think_us = s.faults_end_us * w.outstanding / (w.operations + 1);
}

// Writes the plan: picks faults one after the other and puts the end of each in as well.
class Planner {
 public:
    Planner(Scenario& scenario, Random& random, Theme theme)
        : s_(scenario), random_(random), theme_(theme), down_until_(scenario.n, 0) {}

    void write() {
        choose_traitors();
        TimeUs now = random_.between(20, 150) * ms;
        while (theme_ != Theme::calm && now + 50 * ms < s_.faults_end_us) {
            one_fault(now);
            now += random_.between(20, 400) * ms;
        }
        std::stable_sort(s_.plan.begin(), s_.plan.end(),
                         [](const FaultEvent& a, const FaultEvent& b) { return a.at < b.at; });
    }

 private:
    [[nodiscard]] std::uint16_t any() { return static_cast<std::uint16_t>(random_.below(s_.n)); }
    [[nodiscard]] std::uint32_t some() {  // neither none nor all
        return static_cast<std::uint32_t>(random_.between(1, (std::uint64_t{1} << s_.n) - 2));
    }
    [[nodiscard]] TimeUs a_while() { return random_.between(30, 800) * ms; }
    void add(TimeUs at, FaultKind kind, std::uint16_t a = 0, std::int64_t arg = 0, std::uint32_t mask = 0,
             std::uint16_t b = 0) {
        if (at < s_.faults_end_us) {
            s_.plan.push_back(FaultEvent{at, kind, a, b, mask, arg, {}});
        }
    }

    // Up to f of them, from the start or later; sometimes none.
    void choose_traitors() {
        const std::size_t fb = s_.quorum().fb;
        const bool wanted = theme_ == Theme::traitors || (theme_ == Theme::everything && !random_.one_in(4));
        if (fb == 0 || !wanted) {
            return;
        }
        const std::size_t count = random_.between(1, fb);
        while (s_.traitors.size() < count) {
            // Replica 0 leads first: a traitor there acts at once.
            const auto candidate = s_.traitors.empty() && random_.one_in(2) ? std::uint16_t{0} : any();
            if (std::find(s_.traitors.begin(), s_.traitors.end(), candidate) == s_.traitors.end()) {
                s_.traitors.push_back(candidate);
            }
        }
        for (const std::uint16_t traitor : s_.traitors) {
            behave(random_.one_in(2) ? 0 : random_.between(0, 500) * ms, traitor, behaviour());
            if (random_.one_in(3)) {
                behave(random_.between(100, 1'500) * ms, traitor, random_.one_in(4) ? "none" : behaviour());
            }
        }
    }
    [[nodiscard]] std::string behaviour() {
        return std::string(replica::behaviours().at(random_.below(replica::behaviours().size())).name);
    }
    void behave(TimeUs at, std::uint16_t traitor, std::string what) {
        add(at, FaultKind::behave, traitor);
        if (at < s_.faults_end_us) {
            s_.plan.back().text = std::move(what);
        }
    }

    void one_fault(TimeUs now) {
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
    void network(TimeUs now) {
        switch (random_.below(6)) {
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
            default: {
                const auto client = static_cast<std::uint16_t>(random_.below(s_.workload.clients));
                add(now, FaultKind::cut_client, client, random_.one_in(2) ? 1 : 0, some(), any());
                add(now + a_while(), FaultKind::heal_clients);
                return;
            }
        }
        add(now + a_while(), FaultKind::heal_network);
    }
    void crash(TimeUs now) {
        if (random_.one_in(8)) {
            add(now, FaultKind::power_cut);
            const TimeUs back = now + a_while();
            add(back, FaultKind::restart_all);
            std::fill(down_until_.begin(), down_until_.end(), std::min(back, s_.faults_end_us));
            return;
        }
        const std::uint16_t victim = random_.one_in(3) ? std::uint16_t{0} : any();
        const auto down = static_cast<std::size_t>(
            std::count_if(down_until_.begin(), down_until_.end(), [now](TimeUs until) { return until > now; }));
        // Within what the cluster tolerates, but for one time in ten: then it must wait, and lose nothing.
        if (down_until_[victim] > now || (down + s_.traitors.size() >= s_.quorum().f && !random_.one_in(10))) {
            return pause(now);
        }
        switch (random_.below(3)) {
            case 0: add(now, FaultKind::crash, victim); break;
            case 1: add(now, FaultKind::crash_midway, victim, static_cast<std::int64_t>(random_.between(1, 30))); break;
            default: add(now, FaultKind::crash_in_sync, victim); break;
        }
        const TimeUs back = now + (random_.one_in(3) ? random_.between(1, 20) * ms : a_while());
        add(back, FaultKind::restart, victim);
        down_until_[victim] = back;
    }
    void pause(TimeUs now) {
        add(now, FaultKind::pause, any(),
            static_cast<std::int64_t>(random_.one_in(3) ? random_.between(300, 900) * ms
                                                        : random_.between(1, 120) * ms));
    }
    // One clock at a time: the chain's time must stay near that of the clocks that are right (H2 with q - f of them).
    void clock(TimeUs now) {
        if (now < clock_until_) {
            return;
        }
        const std::uint16_t victim = any();
        const auto by_ms = static_cast<std::int64_t>(random_.between(50, 10'000));
        add(now, FaultKind::clock_jump, victim, random_.one_in(2) ? by_ms : -by_ms);
        clock_until_ = now + a_while();
        add(clock_until_, FaultKind::clock_mend, victim);
    }
    void disk(TimeUs now) {
        const std::uint16_t victim = any();
        add(now, FaultKind::slow_disk, victim, static_cast<std::int64_t>(random_.between(5, 100)));
        add(now + a_while(), FaultKind::slow_disk, victim);
    }

    Scenario& s_;
    Random& random_;
    Theme theme_;
    std::vector<TimeUs> down_until_;
    TimeUs clock_until_ = 0;
};

}  // namespace

const char* name_of(FaultKind kind) {
    switch (kind) {
        case FaultKind::partition: return "partition";
        case FaultKind::one_way: return "one-way partition";
        case FaultKind::cut_links: return "cut links";
        case FaultKind::heal_network: return "heal network";
        case FaultKind::storm: return "storm";
        case FaultKind::crash: return "crash";
        case FaultKind::crash_midway: return "crash midway";
        case FaultKind::crash_in_sync: return "crash in sync";
        case FaultKind::power_cut: return "power cut";
        case FaultKind::restart: return "restart";
        case FaultKind::restart_all: return "restart all";
        case FaultKind::pause: return "pause";
        case FaultKind::clock_jump: return "clock jump";
        case FaultKind::clock_mend: return "clock mend";
        case FaultKind::slow_disk: return "slow disk";
        case FaultKind::behave: return "behave";
        case FaultKind::cut_client: return "cut client";
        case FaultKind::heal_clients: return "heal clients";
    }
    return "?";
}

std::string text_of(const FaultEvent& event) {
    std::string text = fmt::format("{:>8.1f} ms  {}", static_cast<double>(event.at) / 1'000.0, name_of(event.kind));
    switch (event.kind) {
        case FaultKind::partition:
        case FaultKind::one_way: return text + fmt::format(" {{{:b}}} | rest", event.mask);
        case FaultKind::cut_links: return text + fmt::format(" {} - {}", event.a, event.b);
        case FaultKind::storm: return text + (event.arg != 0 ? " begins" : " ends");
        case FaultKind::crash_midway: return text + fmt::format(" {} after {} calls", event.a, event.arg);
        case FaultKind::pause:
            return text + fmt::format(" {} for {:.1f} ms", event.a, static_cast<double>(event.arg) / 1'000.0);
        case FaultKind::clock_jump: return text + fmt::format(" {} by {} ms", event.a, event.arg);
        case FaultKind::slow_disk: return text + fmt::format(" {} x{}", event.a, event.arg);
        case FaultKind::behave: return text + fmt::format(" {} as {}", event.a, event.text);
        case FaultKind::cut_client:
            return text + (event.arg != 0 ? fmt::format(" {} from {{{:b}}}", event.a, event.mask)
                                          : fmt::format(" {} from {}", event.a, event.b));
        case FaultKind::crash:
        case FaultKind::crash_in_sync:
        case FaultKind::restart:
        case FaultKind::clock_mend: return text + fmt::format(" {}", event.a);
        default: return text;
    }
}

Scenario make_scenario(std::uint64_t seed) {
    Scenario scenario;
    scenario.seed = seed;
    Random shape(seed, shape_stream);
    const Theme theme = pick_theme(shape);
    shape_cluster(scenario, shape);
    shape_world(scenario, shape);
    shape_workload(scenario, shape);
    Random plan(seed, plan_stream);
    Planner(scenario, plan, theme).write();
    return scenario;
}

std::string describe(const Scenario& s) {
    const auto q = s.quorum();
    std::string text = fmt::format(
        "seed {}: {} fault model, n={} (f={}, q={}), window {}\n"
        "  timers     tick {} ms, heartbeat {} ms, progress {}..{} ms, precision {} ms\n"
        "  network    {}..{} us{}, disk sync {}..{} us, write-back every {} ms\n"
        "  workload   {} clients{}, {} operations each, {} outstanding, {} keys, time-out {} ms\n",
        s.seed, s.fault_model == FaultModel::byzantine ? "byzantine" : "crash", s.n, q.f, q.q, s.window, s.core.tick_ms,
        s.core.heartbeat_ms, s.core.progress_min_ms, s.core.progress_max_ms, s.core.precision_ms,
        s.quality.delay_min_us, s.quality.delay_min_us + s.quality.delay_spread_us,
        s.quality.ordered ? "" : ", unordered", s.disk.sync_min_us, s.disk.sync_min_us + s.disk.sync_spread_us,
        s.disk.write_back_us / ms, s.workload.clients, s.workload.shared_key ? " (two share a key)" : "",
        s.workload.operations, s.workload.outstanding, s.workload.keys, s.workload.timeout_ms);
    if (!s.traitors.empty()) {
        text += fmt::format("  traitors   {}\n", fmt::join(s.traitors, ", "));
    }
    text += fmt::format("  faults     {} until {} ms\n", s.plan.size(), s.faults_end_us / ms);
    for (const FaultEvent& event : s.plan) {
        text += "    " + text_of(event) + "\n";
    }
    return text;
}

}  // namespace loyal::sim
