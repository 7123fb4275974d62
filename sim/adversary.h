// Adversary: the scheduler of the asynchronous model. It sees every message between replicas and chooses how long each
// is under way; it loses, changes and invents nothing, and delivers everything in the end.
//
// `starve` withholds progress for ever, as Fischer, Lynch and Paterson (JACM'85) show that somebody always can: in each
// view it picks messages without which nothing is decided (the votes, with or without the primary's proposals, or
// NEWVIEW itself) and lets each arrive only once its receiver has promised a later view, when it is of no use any more.
// The time-outs that move the replicas on are all that it needs: it never has to hold a message longer than the system
// itself waits.
// `shuffle` explores: kinds of messages on single links are delayed for a while, by anything up to seconds.
//
// Deterministic; single-threaded.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "consensus/messages.h"
#include "sim/random.h"
#include "sim/scenario.h"
#include "sim/scheduler.h"

namespace loyal::sim {

class Adversary {
 public:
    struct Views {  // of a replica; beyond all views when it is down: what it misses then, it misses anyway
        consensus::View promised, entered;
    };
    using ViewsOf = std::function<Views(consensus::ReplicaId)>;

    Adversary(Scheming scheming, std::size_t n, Scheduler& scheduler, Random random, ViewsOf views_of)
        : scheming_(scheming), n_(n), scheduler_(scheduler), random_(random), views_of_(std::move(views_of)) {}

    // Calls `go`, once: at once or later.
    void schedule(consensus::ReplicaId from, consensus::ReplicaId to, const consensus::PeerMessage& message,
                  Scheduler::Action go);
    // Now and then: lets go what may arrive now.
    void tick();
    // It gives up: everything that it holds goes.
    void leave();
    [[nodiscard]] std::size_t holding() const { return held_.size(); }

 private:
    enum class Target : std::uint8_t { proposals, votes, new_views };
    struct Wanted {
        consensus::View view;
        bool is_new_view = false;
    };
    struct Held {
        consensus::ReplicaId to;
        Wanted what;
        Scheduler::Action go;
    };

    [[nodiscard]] Target target_in(consensus::View view) const;
    // The view whose decision the message takes part in, if it is one that the adversary is after.
    [[nodiscard]] std::optional<Wanted> wanted(const consensus::PeerMessage& message) const;
    [[nodiscard]] bool too_late(consensus::ReplicaId to, const Wanted& what) const;
    [[nodiscard]] TimeUs shuffled_delay(consensus::ReplicaId from, consensus::ReplicaId to, std::size_t kind);

    Scheming scheming_;
    std::size_t n_;
    Scheduler& scheduler_;
    Random random_;
    ViewsOf views_of_;
    std::uint64_t salt_ = random_.next();
    std::vector<Held> held_;  // in the order of sending
    // shuffle: how long messages of one kind on one link take, until when
    struct Mood {
        TimeUs until = 0;
        TimeUs delay_max_us = 0;
    };
    std::map<std::pair<std::size_t, std::size_t>, Mood> moods_;  // by link, kind
};

}  // namespace loyal::sim
