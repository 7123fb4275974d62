// What a plan does to a world.
#include <algorithm>

#include "config/assert.h"
#include "sim/world.h"

namespace loyal::sim {

using consensus::ReplicaId;

namespace {

void set_member(std::set<std::uint16_t>& members, ReplicaId replica, bool member) {
    if (member) {
        members.insert(replica.value);
    } else {
        members.erase(replica.value);
    }
}

}  // namespace

ReplicaId World::who(std::uint16_t replica) const {
    const ReplicaId primary = consensus::leader_of(consensus::View(highest_view_), scenario_.n);
    if (replica == the_primary) {
        return primary;
    }
    if (replica != a_backup) {
        return ReplicaId(replica < scenario_.n ? replica : std::uint16_t{0});
    }
    for (const auto& each : replicas_) {
        if (each->id() != primary && each->up() && is_correct(each->id())) {
            return each->id();
        }
    }
    return primary;  // nobody else is left
}

void World::start_replica(SimReplica& replica) {
    if (!replica.up() && !is_stopped(replica.id())) {
        views_[replica.id().value] = {};
        observe(Observer::Happening::restart, replica.id(), "started");
        replica.start();
    }
}

void World::apply(std::size_t index) {
    const FaultEvent& event = scenario_.plan[index];
    const ReplicaId victim = who(event.a);
    trace_.event(name_of(event.kind), event.kind == FaultKind::cut_client ? event.a : victim.value, event.b,
                 static_cast<std::uint64_t>(event.arg));
    if (options_.observer != nullptr) {
        options_.observer->injected(scheduler_.now(), index, victim);
    }
    if (!apply_to_network(event, victim)) {
        apply_to(event, *replicas_.at(victim.value));
    }
}

bool World::apply_to_network(const FaultEvent& event, ReplicaId victim) {
    switch (event.kind) {
        case FaultKind::partition: separate(event.mask, true); return true;
        case FaultKind::one_way: separate(event.mask, false); return true;
        case FaultKind::cut_links:
            network_.block(event.a, event.b);
            network_.block(event.b, event.a);
            return true;
        case FaultKind::link: spoil_link(event, victim); return true;
        case FaultKind::heal_network: heal_peers(); return true;
        case FaultKind::storm: network_.set_quality(event.arg != 0 ? scenario_.storm : scenario_.quality); return true;
        case FaultKind::cut_client: cut_client(event); return true;
        case FaultKind::heal_clients: heal_clients(); return true;
        case FaultKind::heal_all: heal_all(); return true;
        default: return false;
    }
}

void World::apply_to(const FaultEvent& event, SimReplica& victim) {
    const TimeUs now = scheduler_.now();
    switch (event.kind) {
        case FaultKind::crash: return victim.crash();
        case FaultKind::crash_midway: return victim.crash_after_calls(static_cast<std::uint64_t>(event.arg));
        case FaultKind::crash_in_sync: return victim.crash_in_next_sync();
        case FaultKind::fail_sync: return victim.fail_next_sync(event.arg != 0);
        case FaultKind::crash_stop: stopped_.insert(victim.id().value); return victim.crash();
        case FaultKind::power_cut:
            for (const auto& replica : replicas_) {
                if (event.mask == 0 || (event.mask >> replica->id().value & 1U) == 1) {
                    replica->crash();
                }
            }
            return;
        case FaultKind::restart: return start_replica(victim);
        case FaultKind::restart_all:
            for (const auto& replica : replicas_) {
                start_replica(*replica);
            }
            return;
        case FaultKind::pause: return victim.pause_until(now + static_cast<TimeUs>(event.arg));
        case FaultKind::clock_jump: return victim.clock().jump(event.arg);
        case FaultKind::clock_offset: return victim.clock().set_offset(event.arg);
        case FaultKind::clock_drift: return victim.clock().drift(event.arg, now);
        case FaultKind::clock_freeze: return victim.clock().freeze(now);
        case FaultKind::clock_mend: return victim.clock().mend();
        case FaultKind::slow_disk: return victim.slow_disk(static_cast<std::uint64_t>(event.arg));
        case FaultKind::disk_delay: return victim.delay_disk(static_cast<TimeUs>(event.arg));
        case FaultKind::refuse_writes: return victim.refuse_writes(event.arg != 0);
        case FaultKind::bad_disk:
        case FaultKind::rot:
        case FaultKind::lose_disk:
        case FaultKind::keep_image:
        case FaultKind::roll_back:
        case FaultKind::diverge: return apply_to_disk(event, victim);
        case FaultKind::behave:
            LOYAL_ASSERT(traitors_.contains(victim.id().value), "only traitors misbehave");
            return victim.behave(event.text);
        default: LOYAL_ASSERT(false, "a fault of the network is no replica's");
    }
}

// ---- Disks

void World::apply_to_disk(const FaultEvent& event, SimReplica& victim) {
    const auto part = static_cast<DiskPart>(event.arg);
    const auto share = [&event](DiskTrouble kind) {
        return (event.mask & kind) != 0 ? static_cast<std::uint32_t>(event.arg) : 0U;
    };
    const bool begins = event.kind != FaultKind::bad_disk || event.arg != 0;
    if (begins && event.kind != FaultKind::keep_image && event.kind != FaultKind::diverge) {
        ledgers_[victim.id().value].disk_may_lie();
    }
    switch (event.kind) {
        case FaultKind::bad_disk:
            return victim.set_disk_faults({share(trouble_error), share(trouble_full), share(trouble_sync),
                                           share(trouble_flip), share(trouble_hide)});
        case FaultKind::rot: return victim.rot(part, event.b != 0);
        case FaultKind::lose_disk:
            victim.lose_disk(part);
            if (part != DiskPart::log) {
                diverged_.erase(victim.id().value);
            }
            if (part != DiskPart::state) {
                ledgers_[victim.id().value].disk_lost();
            }
            return;
        case FaultKind::keep_image:
            set_member(diverged_images_, victim.id(), diverged_.contains(victim.id().value));
            return victim.keep_image();
        case FaultKind::roll_back: return roll_back(victim, part);
        case FaultKind::diverge:
            if (victim.diverge()) {
                diverged_.insert(victim.id().value);
                ever_deceived_.insert(victim.id().value);
            }
            return;
        default: LOYAL_ASSERT(false, "no fault of a disk");
    }
}

// A state that had diverged when its image was made has diverged again.
void World::roll_back(SimReplica& victim, DiskPart part) {
    if (!victim.roll_back(part)) {
        return;
    }
    if (part != DiskPart::log) {
        set_member(diverged_, victim.id(), diverged_images_.contains(victim.id().value));
    }
    if (part != DiskPart::state) {
        ledgers_[victim.id().value].disk_put_back();
        put_back_.insert(victim.id().value);
        unaware_.insert(victim.id().value);
        ever_deceived_.insert(victim.id().value);
    }
}

// ---- The network

void World::separate(std::uint32_t mask, bool both_ways) {
    for (std::size_t a = 0; a < scenario_.n; ++a) {
        for (std::size_t b = 0; b < scenario_.n; ++b) {
            if ((mask >> a & 1U) == 1 && (mask >> b & 1U) == 0) {
                network_.block(a, b);
                if (both_ways) {
                    network_.block(b, a);
                }
            }
        }
    }
}

void World::spoil_link(const FaultEvent& event, ReplicaId from) {
    if (event.arg != 0) {
        for (std::size_t client = 0; client < clients_.size(); ++client) {
            network_.set_fault(from.value, client_process(client), event.link);
        }
        return;
    }
    for (std::size_t to = 0; to < scenario_.n; ++to) {
        if (to != from.value && (event.mask >> to & 1U) == 1) {
            network_.set_fault(from.value, to, event.link);
        }
    }
}

void World::heal_peers() {
    for (std::size_t a = 0; a < scenario_.n; ++a) {
        for (std::size_t b = 0; b < scenario_.n; ++b) {
            network_.unblock(a, b);
        }
        for (std::size_t to = 0; to < scenario_.n + clients_.size(); ++to) {
            network_.set_fault(a, to, {});
        }
    }
}

void World::heal_clients() {
    for (std::size_t client = 0; client < clients_.size(); ++client) {
        for (std::size_t replica = 0; replica < scenario_.n; ++replica) {
            network_.unblock(client_process(client), replica);
            network_.unblock(replica, client_process(client));
        }
    }
}

// Traitors stay what they are while a run recovers: a cluster must bear them for ever.
void World::heal_all() {
    network_.heal();
    network_.set_quality(scenario_.quality);
    break_peer_links();  // what a storm took from one that stayed up is said again
    for (const auto& replica : replicas_) {
        replica->clock().mend();
        replica->slow_disk(1);
        replica->delay_disk(0);
        replica->refuse_writes(false);
        replica->set_disk_faults({});
    }
}

void World::cut_client(const FaultEvent& event) {
    const std::size_t client = event.a;
    for (std::size_t replica = 0; replica < scenario_.n && client < clients_.size(); ++replica) {
        if (event.arg != 0 ? (event.mask >> replica & 1U) == 1 : replica == event.b) {
            network_.block(client_process(client), replica);
            network_.block(replica, client_process(client));
            drop_link(client, replica);
        }
    }
}

}  // namespace loyal::sim
