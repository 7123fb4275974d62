// Checkpoints and state transfer, the core's part (PROTOCOL.md §13 S1, S3 to S6; PBFT, OSDI'99 §4.3 and Castro's thesis
// §5.3, without CHECKPOINT messages): when a header carries a root, when a checkpoint is stable, and when this replica
// needs the state from others.
//
//   block c executed --background--> root(c) durable --header c+C carries it, committed--> c is stable
//   root differs, digest differs, state damaged, peers' logs begin above the own head
//       --> state lost: no execution, no reads, no proposals; FetchState --> the driver makes a new core
#include <algorithm>

#include "config/limits.h"
#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

// Checkpoints whose certified root and header are remembered: the stable one, the one above it, and those that became
// certain while the own root or a certificate was late.
constexpr std::size_t checkpoints_remembered = 4;
constexpr std::size_t roots_remembered = 2;
// S6: how long one peer alone is doubted that says that its log does not reach down any more.
constexpr std::uint64_t lone_offer_ms = 1'000;
// The driver is asked again for the same state when so long nothing was heard of it.
constexpr std::uint64_t transfer_again_ms = 30'000;

template <class Value>
void keep_newest(std::map<Height, Value>& by_height, std::size_t count) {
    while (by_height.size() > count) {
        by_height.erase(by_height.begin());
    }
}

}  // namespace

// ---- Carrying: S4

bool Core::State::carries_checkpoint(Height height) const {
    return checkpoint_interval != 0 && height.value % checkpoint_interval == 0 &&
           height.value >= 2 * checkpoint_interval;
}

// What a header of this height has to say; nothing while the own root is being computed (S3).
std::optional<StateRoot> Core::State::checkpoint_to_carry(Height height) const {
    if (!carries_checkpoint(height)) {
        return StateRoot{};
    }
    const auto own = roots.find(height.minus(checkpoint_interval));
    return own == roots.end() ? std::nullopt : std::optional(StateRoot{own->first, own->second});
}

// N3. A proposal whose root cannot be compared yet waits for the own one; one whose root differs never becomes
// acceptable, and the progress timer deposes its leader.
bool Core::State::checkpoint_agrees(const Header& header) const {
    if (!carries_checkpoint(header.height)) {
        return header.checkpoint.value == 0 && header.checkpoint_root.is_zero();
    }
    if (header.checkpoint != header.height.minus(checkpoint_interval)) {
        return false;
    }
    const auto own = roots.find(header.checkpoint);
    if (own == roots.end()) {
        return !rules.has("S3-wait");
    }
    return own->second == header.checkpoint_root || !rules.has("S4-root");
}

// T1 and T5 do not run while the next block has to carry a root that this replica has not computed yet, although it has
// executed so far: it could not accept any leader's. The root depends on nobody else.
bool Core::State::awaits_own_root() const {
    const Height next = vs.prep.block.height.next();
    return state_lost.empty() && !checkpoint_to_carry(next) && executed >= next.minus(checkpoint_interval);
}

// ---- Certain: S3 to S5

void Core::State::on_checkpoint_ready(const StateRoot& root) {
    if (checkpoint_interval == 0 || root.height.value == 0 || root.height.value % checkpoint_interval != 0) {
        return;
    }
    roots[root.height] = root.root;
    forget_old_roots();
    check_root(root.height);
    tell_stable();
}

// Of a header that joins the committed chain.
void Core::State::note_committed(const Header& header) {
    if (checkpoint_interval == 0 || header.height.value % checkpoint_interval != 0) {
        return;
    }
    checkpoint_headers.insert_or_assign(header.height, header);
    keep_newest(checkpoint_headers, checkpoints_remembered);
    if (carries_checkpoint(header.height)) {
        certified_roots.insert_or_assign(header.checkpoint, header.checkpoint_root);
        keep_newest(certified_roots, checkpoints_remembered);
    }
    forget_old_roots();
    check_root(header.checkpoint);
}

// Everything up to `top` is under a commit certificate, or committed in crash mode: what a header there carries can be
// proved to others.
void Core::State::note_certified(Height top) {
    for (const auto& [checkpoint, root] : certified_roots) {
        if (checkpoint > stable.height && checkpoint.plus(checkpoint_interval) <= top) {
            stable = {checkpoint, root};
        }
    }
    tell_stable();
    const auto block = checkpoint_headers.find(stable.height);
    if (!state_lost.empty() && block != checkpoint_headers.end()) {
        want_state(stable, block->second);  // peers forget the older one
    }
}

// What lies below may be forgotten only by who has the certified state itself (D4, S3).
void Core::State::tell_stable() {
    const auto own = roots.find(stable.height);
    if (stable.height > stable_told && stable.height <= executed && state_lost.empty() && own != roots.end() &&
        own->second == stable.root) {
        stable_told = stable.height;
        emit(Stable{stable});
    }
}

// The two newest are served to others; an older one is needed while the header that carries it is not committed.
void Core::State::forget_old_roots() {
    while (roots.size() > roots_remembered && roots.begin()->first.plus(checkpoint_interval) <= committed.height) {
        roots.erase(roots.begin());
    }
}

// S1, S4: whichever comes later, the committed header or the own root.
void Core::State::check_root(Height checkpoint) {
    const auto own = roots.find(checkpoint);
    const auto certified = certified_roots.find(checkpoint);
    if (own != roots.end() && certified != certified_roots.end() && own->second != certified->second) {
        note_certified(committed.height);
        on_state_lost("diverged: the root of the state at height " + std::to_string(checkpoint.value) +
                      " is not the one that a quorum certified");
    }
}

// Entry: the constructor has filled the maps from what the log and the state store knew.
void Core::State::start_checkpoints() {
    if (!lost_at_start.empty()) {
        on_state_lost(lost_at_start);
    }
    for (const auto& [checkpoint, root] : certified_roots) {
        check_root(checkpoint);
    }
    note_certified(committed.height);
}

// ---- Transfer: S6

// The state is damaged or is not the certified one. The newest checkpoint that is known to be certified comes back,
// from the own store as far as that is intact; before there is one, everything is executed again from the first state
// on.
void Core::State::on_state_lost(const std::string& why) {
    if (!state_lost.empty()) {
        return;
    }
    state_lost = why;
    emit(Trace{"state lost: " + why});
    forget_old_blocks();
    const auto block = checkpoint_headers.find(stable.height);
    if (stable.height.value != 0 && block != checkpoint_headers.end()) {
        want_state(stable, block->second);
    } else {
        want_state(StateRoot{}, Header{});
    }
}

// A checkpoint that this replica has as well: nobody's log needs what lies below it, nor does its own.
void Core::State::note_proven(const StateRoot& root) {
    const auto own = roots.find(root.height);
    if (root.height > stable.height && own != roots.end() && own->second == root.root && state_lost.empty()) {
        stable = root;
        tell_stable();
    }
}

// Entry: the verifier checked the certificate and the links. The peer's log does not hold what was asked for any more.
// Only a checkpoint above the own committed head is an answer: whoever kept it as the newest has the blocks above it.
// A transfer costs much, so one peer alone is believed only when in the meantime no other could help.
void Core::State::on_checkpoint_proof(ReplicaId from, const CheckpointProof& proof) {
    const StateRoot root = proof.root();
    note_proven(root);
    if (halted || (root.height <= committed.height && state_lost.empty() && rules.has("S6-forward"))) {
        return;
    }
    std::optional<CheckpointOffer>& offer = offers[from.value];
    const bool goes_on = offer && offer->wanted == committed.height;
    if (goes_on && root.height < offer->root.height) {
        return;
    }
    offer = CheckpointOffer{committed.height, goes_on ? offer->since : tick, root, proof.block};
    if (state_lost.empty()) {
        std::size_t agreeing = 0;
        std::uint64_t since = tick;
        for (const auto& known : offers) {
            if (known && known->wanted == committed.height) {
                ++agreeing;
                since = std::min(since, known->since);
            }
        }
        if (agreeing < quorum.w && tick - since < ticks_of(lone_offer_ms) && rules.has("S6-others")) {
            return;
        }
        state_lost = "fell behind: the blocks above height " + std::to_string(committed.height.value) +
                     " are in no log any more";
        emit(Trace{"state lost: " + state_lost});
        forget_old_blocks();
    }
    if (const CheckpointOffer* best = best_offer()) {
        want_state(best->root, best->block);
    }
}

// The newest, with the header that most peers name: only the state under the root can tell which header is true.
const CheckpointOffer* Core::State::best_offer() const {
    const CheckpointOffer* best = nullptr;
    std::ptrdiff_t best_count = 0;
    for (const auto& offer : offers) {
        if (!offer) {
            continue;
        }
        const auto count = std::count_if(offers.begin(), offers.end(), [&](const auto& other) {
            return other && other->root == offer->root && other->block == offer->block;
        });
        const bool newer = best == nullptr || offer->root.height > best->root.height;
        if (newer || (offer->root.height == best->root.height && count > best_count)) {
            best = &*offer;
            best_count = count;
        }
    }
    return best;
}

// Only forward; the same checkpoint again when more peers name another header for it.
void Core::State::want_state(const StateRoot& root, const Header& block) {
    if (transfer && rules.has("S6-forward") &&
        (root.height < transfer->checkpoint.height ||
         (root.height == transfer->checkpoint.height && block == transfer->block))) {
        return;
    }
    transfer = FetchState{root, block};
    transfer_asked = tick;
    emit(*transfer);
}

void Core::State::check_transfer() {
    if (!state_lost.empty() && transfer && tick - transfer_asked >= ticks_of(transfer_again_ms)) {
        transfer_asked = tick;
        emit(*transfer);
    }
}

// A leader that cannot name the digest of its state cannot propose. It does not wait until the others notice: its own
// VIEW-CHANGE is one of the w that take everybody along, in crash mode the only one needed (V1). A view that it would
// have to start is passed over under V1's condition for that.
void Core::State::hand_over_lead() {
    if (state_lost.empty() || halted || vs.amnesiac || !leads(vs.promised)) {
        return;
    }
    if (in_view() || view_changes_from(vs.promised) >= quorum.q) {
        start_view_change(vs.promised.next(), Leaving::state_lost);
    }
}

bool Core::serving() const {
    return state_->state_lost.empty() && state_->executed >= state_->serves_from &&
           (!state_->vs.amnesiac || !state_->rules.has("A2"));
}

}  // namespace loyal::consensus
