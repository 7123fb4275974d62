#include "sim/adversary.h"

#include <algorithm>
#include <utility>

namespace loyal::sim {

using consensus::PeerMessage;
using consensus::ReplicaId;
using consensus::View;

void Adversary::schedule(ReplicaId from, ReplicaId to, const PeerMessage& message, Scheduler::Action go) {
    if (scheming_ == Scheming::shuffle) {
        const TimeUs delay = shuffled_delay(from, to, message.index());
        return delay == 0 ? go() : scheduler_.after(delay, std::move(go));
    }
    const auto what = scheming_ == Scheming::starve ? wanted(message) : std::nullopt;
    if (!what || too_late(to, *what)) {
        return go();
    }
    held_.push_back({to, *what, std::move(go)});
}

void Adversary::tick() {
    const auto late = std::stable_partition(held_.begin(), held_.end(),
                                            [this](const Held& held) { return !too_late(held.to, held.what); });
    std::vector<Held> going(std::make_move_iterator(late), std::make_move_iterator(held_.end()));
    held_.erase(late, held_.end());
    for (const Held& held : going) {
        held.go();
    }
}

void Adversary::leave() {
    scheming_ = Scheming::none;
    for (const Held& held : std::exchange(held_, {})) {
        held.go();
    }
}

// Drawn for each view; a first view has no NEWVIEW. Votes are held back with the proposals, too: those for the base
// need no proposal.
Adversary::Target Adversary::target_in(View view) const {
    Random draw(salt_, view.value);
    return static_cast<Target>(draw.below(view.value == 0 ? 2 : 3));
}

std::optional<Adversary::Wanted> Adversary::wanted(const PeerMessage& message) const {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        const View view = propose->block->header.view;
        return target_in(view) == Target::proposals ? std::optional(Wanted{view}) : std::nullopt;
    }
    if (const auto* vote = std::get_if<consensus::Vote>(&message)) {
        return target_in(vote->view) != Target::new_views ? std::optional(Wanted{vote->view}) : std::nullopt;
    }
    if (const auto* view = std::get_if<consensus::NewView>(&message)) {
        return target_in(view->view) == Target::new_views ? std::optional(Wanted{view->view, true}) : std::nullopt;
    }
    if (const auto* blocks = std::get_if<consensus::Blocks>(&message)) {  // proposals by the back door
        View newest;
        for (const consensus::BlockPtr& block : blocks->blocks) {
            newest = std::max(newest, block->header.view);
        }
        const bool is_wanted = !blocks->blocks.empty() && target_in(newest) == Target::proposals;
        return is_wanted ? std::optional(Wanted{newest}) : std::nullopt;
    }
    return {};
}

// A replica that has promised a view takes no NEWVIEW of an earlier one, but counts votes of the view that it entered
// last until it enters another: a certificate is a certificate.
bool Adversary::too_late(ReplicaId to, const Wanted& what) const {
    const Views views = views_of_(to);
    return (what.is_new_view ? views.promised : views.entered) > what.view;
}

// Half of the time a kind of message flows on a link; otherwise each takes up to some milliseconds or seconds.
TimeUs Adversary::shuffled_delay(ReplicaId from, ReplicaId to, std::size_t kind) {
    Mood& mood = moods_[{from.value * n_ + to.value, kind}];
    if (scheduler_.now() >= mood.until) {
        static constexpr std::array<TimeUs, 6> bounds{0, 0, 0, 20 * ms, 300 * ms, 3 * second};
        mood.until = scheduler_.now() + random_.between(20, 800) * ms;
        mood.delay_max_us = random_.pick(bounds);
    }
    return random_.below(mood.delay_max_us + 1);
}

}  // namespace loyal::sim
