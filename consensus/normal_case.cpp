// The normal case: propose, accept, vote, lock (rules N1 to N5 and N8; PBFT, OSDI'99 §4.2, with PBFT's two phases
// carried by one cumulative vote over a hash chain). commit.cpp goes on from there.
//
//   PROPOSE b  --N3-->  appended, prep = b  --durable-->  VOTE(prep b)      q votes hold b  --N5-->  lock = b
//   lock = b   --durable-->  VOTE(prep b', com b)                           q com heads hold b --N6-->  committed,
//   executed
#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "consensus/core_state.h"

namespace loyal::consensus {

// ---- Leading: N1, N2, B1, B2

bool Core::State::may_propose() const {
    return !halted && !mute() && state_lost.empty() && leads(vs.entered) && in_view() && base_ready && !end_proposed &&
           vs.leading == static_cast<std::int64_t>(vs.entered.value) &&
           (leading_persist.value != 0 || !rules.has("D3"));  // D3: not after a restart
}

// H1: strictly above the parent's, and only when the own clock has reached it.
std::optional<Hlc> Core::State::next_hlc(Hlc parent) const {
    if (wall_ms > parent.wall_ms()) {
        return Hlc(wall_ms, 0);
    }
    if (wall_ms == parent.wall_ms()) {
        return Hlc(parent.packed + 1);  // the counter carries into the milliseconds
    }
    return std::nullopt;
}

std::optional<crypto::Digest> Core::State::executed_digest(Height height) const {
    const auto found = executed_digests.find(height);
    return found == executed_digests.end() ? std::nullopt : std::optional(found->second);
}

void Core::State::propose() {
    // B1 and B2: at once while nothing of this view waits to be prepared, otherwise when that is. L1: the last block of
    // a tenure is an END block, if need be an empty one; so is the block that something waits for which is due (B5).
    while (may_propose() && (pool.has_unproposed() || tenure_over(0) || time_is_due())) {
        const BlockRef parent = vs.prep.block;
        const Height height = parent.height.next();
        const Height settled =
            crash_mode ? committed.height : (vs.lock.view.is(vs.entered) ? vs.lock.block.height : base.block.height);
        const bool unprepared = last_proposed.height > settled && last_proposed.height > base.block.height;
        if (unprepared || height.minus(window) > executed) {
            return;
        }
        const Height digest_height = height.minus(window);
        const auto digest = executed_digest(digest_height);
        const auto checkpoint = checkpoint_to_carry(height);
        const auto hlc = next_hlc(tree.hlc(parent).value_or(Hlc()));
        if (!digest || !hlc || !checkpoint) {
            return;
        }
        const std::vector<Envelope> envelopes = pool.next_batch();
        auto body = std::make_shared<const Bytes>(make_body(envelopes));
        Header header;
        header.view = vs.entered;
        header.height = height;
        header.parent = parent.id;
        header.body_root = body_root_of(*body);
        header.body_bytes = static_cast<std::uint32_t>(body->size());
        header.envelopes = static_cast<std::uint32_t>(envelopes.size());
        header.hlc = *hlc;
        header.executed = digest_height;
        header.executed_digest = *digest;
        header.checkpoint = checkpoint->height;
        header.checkpoint_root = checkpoint->root;
        end_proposed = tenure_over(0);
        header.flags = static_cast<std::uint8_t>((end_proposed ? flag_end : flag_none) |
                                                 (envelopes.empty() ? flag_empty : flag_none));
        crypto::Signature signature;
        if (!crash_mode) {
            signature = signer.sign(signed_bytes(context, SignDomain::propose, header_id(context, header).view()));
        }
        auto block = make_block(context, header, signature, std::move(body));
        LOYAL_ASSERT(block.has_value(), "a leader's own block is well-formed");
        LOYAL_ASSERT(height.value <= executed.value + window, "I9: a leader stays within the window");
        last_proposed = (*block)->ref();
        announced = committed.height;
        last_heartbeat_sent = tick;
        append(*block);
        // Behind a NEWVIEW of the same batch, without which nobody would take it.
        after_write.push_back({std::nullopt, Propose{*block, committed_to_tell()}, leading_persist});
    }
}

// ---- Accepting: N3, H2

// Entry: a verified PROPOSE; its signature, body and envelopes were checked by the verifier.
void Core::State::on_propose(ReplicaId from, const Propose& message) {
    const BlockPtr& block = message.block;
    examine(block);
    if ((block->header.view != vs.entered || !in_view()) && rules.has("V1")) {
        return;  // of another view: its leader's NEWVIEW, or catch-up, decides
    }
    note_leader_sign(block->header.view);
    hold_proposal(block);
    trust_committed(from, block->header.view, message.committed);
}

void Core::State::hold_proposal(const BlockPtr& block) {
    const Header& header = block->header;
    // One block per (view, height), ever; another one is the leader's guilt.
    if (const auto kept = held.find(header.height); kept != held.end()) {
        if (kept->second.block->id != block->id) {
            on_equivocation(kept->second.block, block);
        }
        return;
    }
    if (header.height <= vs.prep.block.height && vs.prep.view == vs.entered) {
        const auto own = tree.ancestor(vs.prep.block, header.height);
        const BlockTree::Node* node = own ? tree.find(*own) : nullptr;
        if (node != nullptr && node->block != nullptr && node->header.view == header.view && *own != block->id) {
            on_equivocation(node->block, block);
        }
        return;
    }
    const Height floor = base_ready ? vs.prep.block.height : base.block.height;
    if (header.height <= floor || header.height > floor.plus(2 * window)) {
        return;
    }
    HeldProposal proposal{block, HeldProposal::Time::timely};
    const std::uint64_t physical = header.hlc.wall_ms();
    if (rules.has("H2")) {
        if (physical > wall_ms + options.precision_ms) {
            const std::uint64_t early_max = 2 * options.precision_ms + message_delay_ms();
            proposal.time = physical > wall_ms + options.precision_ms + early_max ? HeldProposal::Time::late
                                                                                  : HeldProposal::Time::early;
        } else if (physical + options.precision_ms + message_delay_ms() < wall_ms) {
            proposal.time = HeldProposal::Time::late;
        }
    }
    held.emplace(header.height, std::move(proposal));
}

bool Core::State::acceptable(const HeldProposal& proposal) {
    const Header& header = proposal.block->header;
    const Height digest_height = header.height.minus(window);
    const bool ends = (header.flags & flag_end) != 0;
    // L1: a view ends with its END block; without tenures there is none.
    if (end_in_chain() || (ends && crash_mode)) {
        return false;
    }
    // B5: another one is empty only when something is due in the state that it changes, as f+1 correct replicas found
    // whose votes are in a prepare certificate.
    const bool idle = !ends && (header.flags & flag_empty) != 0;
    if (idle && !time_is_due(header.hlc, vs.prep.block) && header.height > certified_height()) {
        return false;
    }
    if (header.parent != vs.prep.block.id || header.executed != digest_height || !checkpoint_agrees(header)) {
        return false;
    }
    const auto parent_hlc = tree.hlc(vs.prep.block);
    if (!parent_hlc || header.hlc <= *parent_hlc) {
        return false;
    }
    const auto digest = executed_digest(digest_height);
    if (!digest || *digest != header.executed_digest) {
        return false;  // not executed so far yet, or somebody computed something else
    }
    if (proposal.time == HeldProposal::Time::timely) {
        return true;
    }
    if (proposal.time == HeldProposal::Time::early && header.hlc.wall_ms() <= wall_ms + options.precision_ms) {
        return true;
    }
    // H2's waiver: a prepare certificate of this view has f+1 correct timeliness checks behind it.
    return rules.has("N10") && header.height <= certified_height();
}

void Core::State::accept_held() {
    while (in_view() && base_ready && !halted) {
        const auto next = held.find(vs.prep.block.height.next());
        if (next == held.end() || !acceptable(next->second)) {
            break;
        }
        const BlockPtr block = next->second.block;
        append(block);
    }
    held.erase(held.begin(), held.upper_bound(vs.prep.view == vs.entered ? vs.prep.block.height : Height(0)));
}

void Core::State::write_block(BlockTree::Node& node) {
    if (!node.written) {
        node.written = true;
        node.persist = next_persist();
        to_write.emplace_back(BlockRecord{node.block});
    }
}

// A6: the log lost blocks of the prepared chain. They were fetched again by id; the vote for them stands, and is said
// again only when they are as durable as it claims.
void Core::State::mend_prepared() {
    if (!prep_damaged) {
        return;
    }
    for (BlockRef at = vs.prep.block; at.height > committed.height;) {
        BlockTree::Node* node = tree.find(at.id);
        if (node == nullptr || node->block == nullptr) {
            return;
        }
        write_block(*node);
        at = {at.height.minus(1), node->header.parent};
    }
    prep_damaged = !is_durable(vs.prep.block);
}

// All blocks above the committed head, up to `head`.
bool Core::State::is_durable(const BlockRef& head) const {
    for (BlockRef at = head; at.height > committed.height;) {
        const BlockTree::Node* node = tree.find(at.id);
        if (node == nullptr || node->block == nullptr || !node->written || node->persist > durable_persist) {
            return false;
        }
        at = {at.height.minus(1), node->header.parent};
    }
    return true;
}

// N4: the block joins the chain that the next vote covers.
void Core::State::append(const BlockPtr& block) {
    BlockTree::Node& node = tree.add_block(block);
    node.appended_tick = tick;
    write_block(node);
    vs.prep = {vs.entered, block->ref()};
    if (crash_mode && rules.has("8a-accept")) {
        vs.lock = {LockView(vs.entered), block->ref()};  // rule 8a: accepting is locking
    }
    pool.mark_in_chain(*block, true);
    held.erase(block->header.height);
}

// ---- Voting: N4, N5, N8

// Signs strictly after the sync of what it says, and only while the promise still stands (pitfalls 3 and 30).
void Core::State::maybe_vote() {
    const VotingState& said = rules.has("D1") ? durable : vs;
    const bool promise_stands = (in_view() && durable.promised == durable.entered) || !rules.has("N8");
    if (halted || mute() || (said.amnesiac && rules.has("A2")) || !promise_stands || said.entered != vs.entered ||
        said.prep.view != said.entered) {
        return;
    }
    if (said.prep.block.height.value == 0) {
        return;  // nothing but genesis
    }
    if (prep_damaged && !is_durable(said.prep.block)) {
        return;  // A6
    }
    Vote vote;
    vote.view = said.entered;
    vote.prep = said.prep.block;
    if (crash_mode) {
        vote.com = vote.prep;  // rule 8a: one vote round
    } else if (said.lock.view.is(said.entered) && said.lock.block.height.value != 0) {
        vote.com = said.lock.block;
    }
    vote.voter = options.self;
    if (last_vote && last_vote->view == vote.view && last_vote->prep == vote.prep && last_vote->com == vote.com) {
        return;
    }
    if (!crash_mode) {
        vote.signature = signer.sign(signed_bytes(context, SignDomain::vote, vote_content(vote)));
    }
    last_vote = vote;
    last_vote_sent = tick;
    votes.add(vote);
    if (crash_mode) {
        if (!is_self(leader())) {
            send(leader(), vote, durable_persist);
        }
    } else {
        send(std::nullopt, vote, rules.has("D1") ? durable_persist : PersistId());
    }
}

void Core::State::on_vote(ReplicaId from, const Vote& vote) {
    examine(vote);
    votes.add(vote);
    if (vote.view != vs.entered || !in_view() || crash_mode || conflict_asked == vs.entered) {
        return;
    }
    // A vote for a sibling of a block that is here: its voter may hold the proof that the leader equivocates.
    const auto known = held.find(vote.prep.height);
    const auto own = vs.prep.view == vs.entered ? tree.ancestor(vs.prep.block, vote.prep.height) : std::nullopt;
    const bool conflicts = (known != held.end() && known->second.block->id != vote.prep.id) ||
                           (own && *own != vote.prep.id && vote.prep.height > base.block.height);
    if (conflicts) {
        conflict_asked = vs.entered;
        wanted.insert(vote.prep.id);
        send(from, Fetch{Fetch::What::by_id, Height(), {vote.prep.id}});
    }
}

// Ids from `lower` up to the prepare head, and on through held proposals that extend it.
std::vector<crypto::Digest> Core::State::view_chain(Height lower, bool with_held) const {
    std::vector<crypto::Digest> chain;
    BlockRef at = vs.prep.block;
    while (at.height >= lower) {
        chain.push_back(at.id);
        const BlockTree::Node* node = tree.find(at.id);
        if (at.height == lower) {
            break;
        }
        if (node == nullptr) {
            return {};
        }
        at = {at.height.minus(1), node->header.parent};
    }
    std::reverse(chain.begin(), chain.end());
    if (with_held && !chain.empty()) {
        for (Height height = vs.prep.block.height.next();; height = height.next()) {
            const auto next = held.find(height);
            if (next == held.end() || next->second.block->header.parent != chain.back()) {
                break;
            }
            chain.push_back(next->second.block->id);
        }
    }
    return chain;
}

// N5. The votes that count for x are those whose head lies on one chain through x, in this view.
void Core::State::learn_lock() {
    const bool frozen = !in_view() && rules.has("V2-frozen");
    if (crash_mode || frozen || !base_ready || halted) {
        return;
    }
    const View view = vs.entered;
    const Height own_lock = vs.lock.view.is(view) ? vs.lock.block.height : Height(0);
    const Height lower = std::max({base.block.height, own_lock, std::min(committed.height, vs.prep.block.height)});
    const std::vector<crypto::Digest> chain = view_chain(lower, true);
    if (chain.empty()) {
        return;
    }
    std::vector<Vote> support;
    for (const Vote& vote : votes.of(view)) {
        if (vote.prep.height < lower || vote.prep.height.value - lower.value >= chain.size()) {
            continue;
        }
        if (chain[vote.prep.height.value - lower.value] == vote.prep.id || !rules.has("cert-path")) {
            support.push_back(vote);
        }
    }
    if (support.size() < quorum.q) {
        return;
    }
    std::sort(support.begin(), support.end(), [](const Vote& a, const Vote& b) {
        return a.prep.height != b.prep.height ? a.prep.height > b.prep.height : a.voter < b.voter;
    });
    const Height reached = std::min(support[quorum.q - 1].prep.height, vs.prep.block.height);
    const bool higher = LockView(view) > vs.lock.view || reached > vs.lock.block.height;
    if (!higher || reached.value == 0) {
        return;
    }
    const crypto::Digest id = chain[reached.value - lower.value];
    const BlockTree::Node* target = tree.find(id);
    if (target == nullptr) {
        return;
    }
    Certificate certificate{CertKind::prepare, view, target->header, {}, {}};
    // The q supporters whose heads are nearest keep the path short.
    const auto end =
        std::find_if(support.begin(), support.end(), [&](const Vote& vote) { return vote.prep.height < reached; });
    certificate.votes.assign(end - static_cast<std::ptrdiff_t>(quorum.q), end);
    const Height top = certificate.votes.front().prep.height;
    for (Height height = reached.next(); height <= top; height = height.next()) {
        const crypto::Digest& on_path = chain[height.value - lower.value];
        const BlockTree::Node* node = tree.find(on_path);
        certificate.path.push_back(node != nullptr ? node->header : held.at(height).block->header);
    }
    if (certificate.path.size() > window) {
        return;
    }
    note_prepared(*target);
    vs.lock = {LockView(view), {reached, id}};
    lock_certificate = certificate;
    to_write.emplace_back(LockRecord{std::move(certificate)});
}

// Height up to which q votes of this view certify the own chain and the held proposals above it.
Height Core::State::certified_height() const {
    const Height lower = std::max(base.block.height, std::min(committed.height, vs.prep.block.height));
    const std::vector<crypto::Digest> chain = view_chain(lower, true);
    std::vector<Height> heads;
    for (const Vote& vote : votes.of(vs.entered)) {
        if (vote.prep.height >= lower && vote.prep.height.value - lower.value < chain.size() &&
            chain[vote.prep.height.value - lower.value] == vote.prep.id) {
            heads.push_back(vote.prep.height);
        }
    }
    if (heads.size() < quorum.q) {
        return Height(0);
    }
    std::sort(heads.begin(), heads.end(), std::greater<>());
    return heads[quorum.q - 1];
}

// ---- Clients: C2

void Core::State::on_submitted(const Envelope& envelope, bool from_peer) {
    const bool at_leader = leads(vs.entered) && in_view();
    if (from_peer && !at_leader) {
        return;  // second-hand envelopes are the leader's business only
    }
    pool.add(envelope, tick, at_leader);
}

}  // namespace loyal::consensus
