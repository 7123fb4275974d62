// What must hold after every step (PROTOCOL.md §20). These are about our own state, so they assert, in every build.
#include "config/assert.h"
#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

void check_voting_state(const VotingState& state, const char* which) {
    LOYAL_ASSERT(state.promised >= state.entered, which);
    LOYAL_ASSERT(!LockView(state.entered).is_genesis(), which);
    LOYAL_ASSERT(state.lock.view <= LockView(state.entered), which);
    LOYAL_ASSERT(state.prep.view <= state.entered, which);
    LOYAL_ASSERT(state.leading <= static_cast<std::int64_t>(state.promised.value), which);
}

}  // namespace

void Core::State::check_invariants() const {
    if (!rules.all()) {
        return;  // a mutant may break them: that is what its test shows
    }
    // I1, in what was decided, written and durable.
    check_voting_state(vs, "I1: promised >= entered >= lock.view, and leading only what was promised");
    check_voting_state(written, "I1, as last written");
    check_voting_state(durable, "I1, on disk");
    LOYAL_ASSERT(durable.promised <= vs.promised && durable.entered <= vs.entered, "promises only grow");
    // I5: the rank of the lock never decreases.
    LOYAL_ASSERT(durable.lock.rank() <= vs.lock.rank(), "I5: the lock's rank never decreases");
    // I2, I6: what was signed is covered by what is durable.
    if (last_vote) {
        LOYAL_ASSERT(last_vote->view <= durable.entered, "I6: a vote's view is durable");
        if (last_vote->view == durable.entered && durable.prep.view == durable.entered) {
            LOYAL_ASSERT(last_vote->prep.height <= durable.prep.block.height, "I6: a vote's blocks are durable");
        }
        LOYAL_ASSERT(!last_vote->has_commit() || LockView(last_vote->view) < durable.lock.view ||
                         last_vote->com.height <= durable.lock.block.height,
                     "I6: a commit vote's lock is durable");
    }
    // I4: a lock is proved by its certificate.
    if (!crash_mode && !vs.lock.view.is_genesis()) {
        LOYAL_ASSERT(lock_certificate && vs.lock.view.is(lock_certificate->view) &&
                         lock_certificate->target.height == vs.lock.block.height,
                     "I4: the lock's certificate is held");
    }
    // I4: the commit head is on the chain of the prepare head.
    if (vs.lock.view.is(vs.entered) && vs.prep.view == vs.entered && base_ready) {
        LOYAL_ASSERT(vs.lock.block.height <= vs.prep.block.height, "I4: locked above what was prepared");
        LOYAL_ASSERT(
            vs.lock.block.height < committed.height || tree.contains(vs.prep.block, vs.lock.block) != Relation::no,
            "I4: locked off the prepared chain");
    }
    // I7, I13: execution follows commitment.
    LOYAL_ASSERT(executed <= execute_asked && execute_asked <= committed.height, "execution follows commitment");
    const auto known = committed_ids.find(committed.height);
    LOYAL_ASSERT(known != committed_ids.end() && known->second == committed.id, "the committed chain ends in its head");
    // I11: time only grows along the chain.
    const BlockTree::Node* head = tree.find(vs.prep.block.id);
    if (head != nullptr && head->header.height.value > 1) {
        const auto parent = tree.hlc({head->header.height.minus(1), head->header.parent});
        LOYAL_ASSERT(!parent || *parent < head->header.hlc, "I11: hlc increases along the chain");
    }
    // §17: bounded memory.
    LOYAL_ASSERT(held.size() <= 2 * window + 1, "held proposals stay within the window");
    LOYAL_ASSERT(roots.size() <= 3 && certified_roots.size() <= 4 && checkpoint_headers.size() <= 4,
                 "few checkpoints are remembered");
    // While nothing is executed, what is committed stays in the log only.
    LOYAL_ASSERT(state_lost.empty() || committed_ids.size() <= 2 * window + 4, "without a state blocks do not pile up");
    // S4, S6: a state in order is never behind what it says is stable, and a lost one is always being fetched.
    LOYAL_ASSERT(stable_told <= executed, "only the own state makes a checkpoint stable here");
    LOYAL_ASSERT(state_lost.empty() || transfer.has_value(), "a lost state is fetched");
}

}  // namespace loyal::consensus
