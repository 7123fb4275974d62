// What is committed, and its execution (rules N6, N7, 8c and S1).
#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "consensus/core_state.h"

namespace loyal::consensus {

// ---- Committing: N6, 8c

void Core::State::learn_commit() {
    if (halted || (crash_mode && !leads(vs.entered))) {
        return;
    }
    if (!rules.has("N6")) {
        learn_commit_of(vs.entered, votes.all());
        return;
    }
    for (const View view : votes.views()) {
        if (!crash_mode || view == vs.entered) {
            learn_commit_of(view, votes.of(view));
        }
    }
}

// Votes of one view only: a block committed by votes of different views may be lost (pitfall 4; Raft §5.4.2).
void Core::State::learn_commit_of(View view, const std::vector<Vote>& votes_of_view) {
    std::vector<Vote> support;
    std::copy_if(votes_of_view.begin(), votes_of_view.end(), std::back_inserter(support),
                 [&](const Vote& vote) { return vote.has_commit() && vote.com.height > committed.height; });
    if (support.size() < quorum.q) {
        return;
    }
    std::sort(support.begin(), support.end(), [](const Vote& a, const Vote& b) {
        return a.com.height != b.com.height ? a.com.height > b.com.height : a.voter < b.voter;
    });
    for (std::size_t i = quorum.q - 1; i < support.size(); ++i) {
        const BlockRef candidate = support[i].com;
        std::vector<Vote> agreeing;
        std::copy_if(support.begin(), support.end(), std::back_inserter(agreeing),
                     [&](const Vote& vote) { return tree.contains(vote.com, candidate) == Relation::yes; });
        const BlockTree::Node* node = tree.find(candidate.id);
        if (agreeing.size() < quorum.q || node == nullptr) {
            continue;
        }
        std::optional<Certificate> certificate;
        if (!crash_mode) {
            const std::vector<Vote> nearest(agreeing.end() - static_cast<std::ptrdiff_t>(quorum.q), agreeing.end());
            certificate =
                Certificate{CertKind::commit, view, node->header, tree.path(candidate, nearest.front().com), nearest};
            // Heads of equivocators on side branches need no common path: such a set proves the commit, but not to
            // somebody else, so the next certificate has to.
            if (certificate->path.size() > window || !verifier.check_own_certificate(*certificate)) {
                certificate.reset();
            }
        }
        commit(candidate, std::move(certificate));
        return;
    }
}

// Rule 8c: in crash mode the leader's word is believed in its own view, for the own chain, up to the own prepare head.
void Core::State::trust_committed(ReplicaId from, View view, Height height) {
    if (!crash_mode || from != leader() || halted) {
        return;
    }
    const bool applies = view == vs.entered && in_view() && base_ready;
    if (!applies && rules.has("8c")) {
        return;
    }
    // Proposals that came before this word may be accepted before it is used.
    accept_held();
    const Height known = std::min(height, vs.prep.block.height);
    if (known <= committed.height) {
        return;
    }
    if (const auto id = tree.ancestor(vs.prep.block, known)) {
        commit({known, *id}, std::nullopt);
    }
}

// The other side of rule 8c: what a leader says in its view is about its own chain there. One that caught up with a
// later view's chain before it heard of that view must not lend its height to its own blocks, which were never
// committed.
Height Core::State::committed_to_tell() const {
    if (!crash_mode || !leads(vs.entered) || !rules.has("8c-own")) {
        return committed.height;
    }
    Height at = std::min(committed.height, vs.prep.block.height);
    if (at < committed_ids.begin()->first) {
        return Height(0);  // the state came by transfer: nothing is known here of the own chain's relation to it
    }
    while (at.value > 0) {
        const auto known = committed_ids.find(at);
        const auto own = tree.ancestor(vs.prep.block, at);
        if (known != committed_ids.end() && own && *own == known->second) {
            break;
        }
        at = at.minus(1);
    }
    return at;
}

void Core::State::commit(const BlockRef& block, std::optional<Certificate> certificate) {
    switch (tree.contains(block, committed)) {
        case Relation::yes: break;
        case Relation::unknown: return;  // catch-up brings what lies between
        case Relation::no: halt("a certified block contradicts what was committed here"); return;
    }
    // Votes may commit what is known by its header only (a base whose body is on its way). It waits: what is committed
    // here can be executed here. Blocks that this replica never voted for are written now.
    if (tree.first_missing(block, committed)) {
        return;
    }
    const std::vector<Header> headers = tree.path(committed, block);
    bool view_ended = false;
    for (std::size_t i = 0; i < headers.size(); ++i) {
        const crypto::Digest id = i + 1 < headers.size() ? headers[i + 1].parent : block.id;
        committed_ids[headers[i].height] = id;
        write_block(*tree.find(id));
        const bool of_view = headers[i].view == vs.entered || !rules.has("V1-end");
        view_ended = view_ended || ((headers[i].flags & flag_end) != 0 && of_view);
    }
    blocks_committed += headers.size();
    committed = block;
    const bool provable = crash_mode || certificate;
    for (const Header& header : headers) {
        note_ordered(*tree.find(committed_ids.at(header.height)));
    }
    // May find that the own state is wrong, and then forgets blocks: nothing below looks them up without asking.
    for (const Header& header : headers) {
        note_committed(header);
    }
    to_write_lazily.emplace_back(CommitRecord{block, std::move(certificate)});
    note_progress();
    execute_committed();
    for (const Header& header : headers) {
        check_executed_digest(header.height);
    }
    if (provable) {
        note_certified(block.height);
    }
    if (!state_lost.empty()) {
        forget_old_blocks();
    }
    // V1: the END block's own view counts, not the one in which it was certified again (pitfall 28).
    if (view_ended && in_view()) {
        start_view_change(vs.entered.next(), Leaving::tenure_ended);
    }
}

// ---- Executing: N7

// A block is executed when it is committed and durable here, so that a restart can do so again.
void Core::State::execute_committed() {
    while (execute_asked < committed.height && !halted && state_lost.empty()) {
        const auto id = committed_ids.find(execute_asked.next());
        const BlockTree::Node* node = id == committed_ids.end() ? nullptr : tree.find(id->second);
        if (node == nullptr || node->block == nullptr || !node->written || node->persist > durable_persist) {
            return;
        }
        execute_asked = execute_asked.next();
        emit(Execute{node->block});
    }
}

void Core::State::on_executed(const Executed& result) {
    LOYAL_ASSERT(result.height == executed.next(), "blocks are executed one by one");
    executed = result.height;
    executed_digests[executed] = result.digest;
    next_due = result.due;
    const auto id = committed_ids.find(executed);
    const BlockTree::Node* node = id == committed_ids.end() ? nullptr : tree.find(id->second);
    if (node != nullptr && node->block != nullptr) {
        pool.executed(*node->block, rules.has("T1-pending"));
        pool.expire(node->header.hlc);
    }
    check_executed_digest(executed.plus(window));
    tell_stable();
    forget_old_blocks();
}

// Below the floor nothing is asked for any more: certificates reach W back, and the log serves the rest. Without a
// state nothing is executed; what is committed meanwhile is in the log, from which the driver executes it later.
void Core::State::forget_old_blocks() {
    if (!state_lost.empty()) {
        for (auto at = committed_ids.upper_bound(executed); at != committed_ids.end(); ++at) {
            const BlockTree::Node* node = tree.find(at->second);
            if (node != nullptr && node->block != nullptr) {
                pool.executed(*node->block, rules.has("T1-pending"));
            }
        }
    }
    const Height floor = (state_lost.empty() ? executed : committed.height).minus(2 * window + 2);
    tree.drop_below(floor);
    // What is committed at the height of the own prepare head stays known: advance_prep_by_commit compares with it.
    std::erase_if(committed_ids,
                  [&](const auto& entry) { return entry.first < floor && entry.first != vs.prep.block.height; });
    executed_digests.erase(executed_digests.upper_bound(Height(0)),
                           executed_digests.lower_bound(std::max(floor, Height(1))));
}

// S1: the header of a committed block names the digest of the state W blocks before it; another one here means that
// this replica computed something else than the quorum.
void Core::State::check_executed_digest(Height height) {
    const auto id = committed_ids.find(height);
    const BlockTree::Node* node = id == committed_ids.end() ? nullptr : tree.find(id->second);
    if (node == nullptr || height > committed.height) {
        return;
    }
    const auto digest = executed_digest(node->header.executed);
    if (digest && *digest != node->header.executed_digest) {
        on_state_lost("diverged: the state after height " + std::to_string(node->header.executed.value) +
                      " is not the one that a quorum certified");
    }
}

}  // namespace loyal::consensus
