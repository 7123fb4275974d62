// Scenarios in words.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/scenario.h"

namespace loyal::sim {

const char* name_of(Timing timing) {
    switch (timing) {
        case Timing::synchronous: return "synchronous";
        case Timing::partial: return "partial";
        case Timing::asynchronous: return "asynchronous";
    }
    return "?";
}

const char* name_of(Failures failures) {
    switch (failures) {
        case Failures::crash_stop: return "crash-stop";
        case Failures::crash_recovery: return "crash-recovery";
        case Failures::byzantine: return "byzantine";
    }
    return "?";
}

const char* name_of(FaultKind kind) {
    switch (kind) {
        case FaultKind::partition: return "partition";
        case FaultKind::one_way: return "one-way partition";
        case FaultKind::cut_links: return "cut links";
        case FaultKind::link: return "link";
        case FaultKind::heal_network: return "heal network";
        case FaultKind::storm: return "storm";
        case FaultKind::crash: return "crash";
        case FaultKind::crash_midway: return "crash midway";
        case FaultKind::crash_in_sync: return "crash in sync";
        case FaultKind::fail_sync: return "fail sync";
        case FaultKind::crash_stop: return "crash for good";
        case FaultKind::power_cut: return "power cut";
        case FaultKind::restart: return "restart";
        case FaultKind::restart_all: return "restart all";
        case FaultKind::pause: return "pause";
        case FaultKind::clock_jump: return "clock jump";
        case FaultKind::clock_offset: return "clock offset";
        case FaultKind::clock_drift: return "clock drift";
        case FaultKind::clock_freeze: return "clock freeze";
        case FaultKind::clock_mend: return "clock mend";
        case FaultKind::slow_disk: return "slow disk";
        case FaultKind::disk_delay: return "disk delay";
        case FaultKind::refuse_writes: return "refuse writes";
        case FaultKind::bad_disk: return "bad disk";
        case FaultKind::rot: return "rot";
        case FaultKind::lose_disk: return "lose disk";
        case FaultKind::keep_image: return "keep image";
        case FaultKind::roll_back: return "roll back";
        case FaultKind::diverge: return "diverge";
        case FaultKind::behave: return "behave";
        case FaultKind::cut_client: return "cut client";
        case FaultKind::heal_clients: return "heal clients";
        case FaultKind::heal_all: return "heal all";
    }
    return "?";
}

namespace {

std::string who(std::uint16_t replica) {
    return replica == the_primary ? "the primary" : replica == a_backup ? "a backup" : std::to_string(replica);
}

std::string text_of(const replica::LinkFault& link) {
    std::string text = link.cut ? "cut" : "";
    const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
    const auto share = [&](const char* name, double value) {
        if (value > 0) {
            add(fmt::format("{}={}", name, value));
        }
    };
    share("drop", link.drop);
    share("duplicate", link.duplicate);
    share("reorder", link.reorder);
    if (link.delay_ms != 0) {
        add(fmt::format("delay={}ms", link.delay_ms));
    }
    if (link.jitter_ms != 0) {
        add(fmt::format("jitter={}ms", link.jitter_ms));
    }
    if (link.rate_bytes_s != 0) {
        add(fmt::format("rate={}", link.rate_bytes_s));
    }
    return text.empty() ? "as usual" : text;
}

const char* name_of_part(std::int64_t part) {
    switch (static_cast<DiskPart>(part)) {
        case DiskPart::all: return "everything";
        case DiskPart::state: return "the state";
        case DiskPart::log: return "the log";
    }
    return "?";
}

std::string troubles(std::uint32_t mask) {
    std::string text;
    for (const auto& [bit, name] :
         {std::pair(trouble_error, "errors"), std::pair(trouble_full, "full"), std::pair(trouble_sync, "failed syncs"),
          std::pair(trouble_flip, "flips"), std::pair(trouble_hide, "hidden records")}) {
        text += (mask & bit) == 0 ? "" : (text.empty() ? "" : ", ") + std::string(name);
    }
    return text;
}

const char* name_of(Scheming scheming) {
    switch (scheming) {
        case Scheming::none: return "";
        case Scheming::starve: return ", an adversary withholds progress";
        case Scheming::shuffle: return ", an adversary shuffles";
    }
    return "?";
}

}  // namespace

std::string text_of(const FaultEvent& event) {
    std::string text = fmt::format("{:>8.1f} ms  {}", static_cast<double>(event.at) / 1'000.0, name_of(event.kind));
    switch (event.kind) {
        case FaultKind::partition:
        case FaultKind::one_way: return text + fmt::format(" {{{:b}}} | rest", event.mask);
        case FaultKind::cut_links: return text + fmt::format(" {} - {}", event.a, event.b);
        case FaultKind::storm: return text + (event.arg != 0 ? " begins" : " ends");
        case FaultKind::crash_midway: return text + fmt::format(" {} after {} calls", who(event.a), event.arg);
        case FaultKind::pause:
            return text + fmt::format(" {} for {:.1f} ms", who(event.a), static_cast<double>(event.arg) / 1'000.0);
        case FaultKind::clock_jump:
        case FaultKind::clock_offset: return text + fmt::format(" {} by {} ms", who(event.a), event.arg);
        case FaultKind::clock_drift: return text + fmt::format(" {} by {} ppm", who(event.a), event.arg);
        case FaultKind::link:
            return text + fmt::format(" {} -> {}: {}", who(event.a),
                                      event.arg != 0 ? "clients" : fmt::format("{{{:b}}}", event.mask),
                                      text_of(event.link));
        case FaultKind::disk_delay: return text + fmt::format(" {} by {} us", who(event.a), event.arg);
        case FaultKind::fail_sync:
            return text + fmt::format(" {} of the {}", who(event.a), event.arg == 0 ? "log" : "state");
        case FaultKind::refuse_writes:
            return text + fmt::format(" {}{}", who(event.a), event.arg != 0 ? "" : " no more");
        case FaultKind::power_cut: return event.mask == 0 ? text : text + fmt::format(" {{{:b}}}", event.mask);
        case FaultKind::bad_disk:
            return text + (event.arg == 0
                               ? fmt::format(" {} no more", who(event.a))
                               : fmt::format(" {}: {} with {} ppm", who(event.a), troubles(event.mask), event.arg));
        case FaultKind::rot:
            return text + fmt::format(" {} in {}: {}", who(event.a), name_of_part(event.arg),
                                      event.b == 0 ? "a bit flips" : "a record is hidden");
        case FaultKind::lose_disk:
        case FaultKind::roll_back: return text + fmt::format(" {}: {}", who(event.a), name_of_part(event.arg));
        case FaultKind::slow_disk: return text + fmt::format(" {} x{}", who(event.a), event.arg);
        case FaultKind::behave: return text + fmt::format(" {} as {}", who(event.a), event.text);
        case FaultKind::cut_client:
            return text + (event.arg != 0 ? fmt::format(" {} from {{{:b}}}", event.a, event.mask)
                                          : fmt::format(" {} from {}", event.a, event.b));
        case FaultKind::crash:
        case FaultKind::crash_in_sync:
        case FaultKind::crash_stop:
        case FaultKind::restart:
        case FaultKind::keep_image:
        case FaultKind::diverge:
        case FaultKind::clock_freeze:
        case FaultKind::clock_mend: return text + fmt::format(" {}", who(event.a));
        default: return text;
    }
}

std::string describe(const Scenario& s) {
    const auto q = s.quorum();
    std::string text = fmt::format(
        "seed {}: {} timing{}, {} failures, n={} (f={}, q={}), window {}, checkpoints every {}\n"
        "  timers     {}, tick {} ms, heartbeat {} ms, progress {}..{} ms, precision {} ms, tenure {} ms\n"
        "  network    {}..{} us{}, disk sync {}..{} us, write-back every {} ms\n"
        "  workload   {} clients{}, {} operations each, {} outstanding, {} watches each, {} keys, "
        "{} % transactions, {} % leases and locks, time-out {} ms\n",
        s.seed, name_of(s.timing), name_of(s.scheming), name_of(s.failures), s.n, q.f, q.q, s.window,
        s.checkpoint_interval, s.core.adaptive ? "adaptive" : "fixed", s.core.tick_ms, s.core.heartbeat_ms,
        s.core.progress_min_ms, s.core.progress_max_ms, s.core.precision_ms, s.core.tenure_ms, s.quality.delay_min_us,
        s.quality.delay_min_us + s.quality.delay_spread_us, s.quality.ordered ? "" : ", unordered", s.disk.sync_min_us,
        s.disk.sync_min_us + s.disk.sync_spread_us, s.disk.write_back_us / ms, s.workload.clients,
        s.workload.shared_key ? " (two share a key)" : "", s.workload.operations, s.workload.outstanding,
        s.workload.watches, s.workload.keys, s.workload.mix.txns, s.workload.mix.leases, s.workload.timeout_ms);
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
