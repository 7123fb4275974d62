// Catch-up of a replica that was away or was left out (rule N10): committed blocks under a commit certificate, the
// current view's chain under a prepare certificate, bodies by id, and the NEWVIEW of a view that others are in.
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

constexpr std::uint64_t lost_heartbeats = 4;    // between questions while the state is being fetched
constexpr std::uint64_t repair_heartbeats = 4;  // between questions for blocks that the own log lost
constexpr std::size_t unsynced_max = 16;        // Persists under way, each of one answer at most

}  // namespace

void Core::State::on_heartbeat(ReplicaId from, const Heartbeat& message) {
    peers[from.value] = message;
    note_heartbeat(from);
    if (from == leader() && message.entered == vs.entered && message.promised == message.entered) {
        note_leader_sign(message.entered);
        trust_committed(from, message.entered, message.committed);
    } else if (!rules.has("8c") && from == leader_of(message.entered, quorum.n)) {
        trust_committed(leader(), message.entered, message.committed);
    }
}

// ---- Asking

// The next peer, in turn, that claims what this replica lacks. Each kind of question has a turn of its own: a liar who
// attracts one kind must not decide who is asked the other.
std::optional<ReplicaId> Core::State::next_peer(std::size_t& turn, bool (*ahead)(const State&, const Heartbeat&)) {
    for (std::size_t i = 1; i <= quorum.n; ++i) {
        const std::size_t candidate = (turn + i) % quorum.n;
        if (candidate != options.self.value && ahead(*this, peers[candidate])) {
            turn = candidate;
            return ReplicaId(static_cast<std::uint16_t>(candidate));
        }
    }
    return std::nullopt;
}

void Core::State::fetch_what_is_missing() {
    // While the state is being fetched the answers are checkpoints, or blocks that only go to the log.
    const std::uint64_t patience = ticks_of((state_lost.empty() ? 1 : lost_heartbeats) * options.heartbeat_ms);
    if (tick - last_fetch < patience || !takes_more()) {
        return;  // one question at a time; the executor comes first
    }
    const auto anybody = [](const State&, const Heartbeat&) { return true; };
    // 1. A view that others have entered.
    if (const auto peer = next_peer(
            new_view_turn, [](const State& self, const Heartbeat& beat) { return beat.entered > self.vs.entered; })) {
        last_fetch = tick;
        send(*peer, Fetch{Fetch::What::new_view, Height(), {}});
    }
    // 2. Bodies of a base, so that it can be voted for and committed; of the prepared chain, if the log lost some (A6).
    const BlockRef* head = nullptr;
    if (waiting_new_view) {
        head = &waiting_new_view->base.block;
    } else if (!base_ready) {
        head = &base.block;
    } else if (prep_damaged) {
        head = &vs.prep.block;
    }
    if (head != nullptr && head->height.value <= committed.height.value + 4 * window) {
        if (const auto missing = tree.first_missing(*head, committed)) {
            if (const auto peer = next_peer(body_turn, anybody)) {
                last_fetch = tick;
                wanted.insert(missing->id);
                send(*peer, Fetch{Fetch::What::by_id, Height(), {missing->id}});
            }
        }
    }
    // 3. Committed blocks, and the chain of the current view behind them, when nothing moved for a heartbeat.
    if (tick - last_commit < patience) {
        return;
    }
    const auto peer = next_peer(fetch_turn, [](const State& self, const Heartbeat& beat) {
        const bool same_view = beat.entered == self.vs.entered && self.in_view();
        return beat.committed > self.committed.height || (same_view && beat.prepared > self.vs.prep.block.height) ||
               (same_view && !self.base_ready);
    });
    if (peer) {
        last_fetch = tick;
        fetch_open = true;
        send(*peer, Fetch{Fetch::What::committed, committed.height.next(), {}});
    }
}

// What is committed here waits in memory for the executor, without a state only for the log.
bool Core::State::takes_more() const {
    return state_lost.empty() ? committed.height <= executed.plus(4 * window + limits::fetch_blocks_max)
                              : in_flight.size() <= unsynced_max;
}

// ---- Answering

void Core::State::on_fetch(ReplicaId from, const Fetch& message) {
    switch (message.what) {
        case Fetch::What::committed: emit(ServeCommitted{from, message.from, committed.height, own_tail()}); return;
        case Fetch::What::by_id: {
            Blocks answer;
            std::size_t bytes = 0;
            for (const crypto::Digest& id : message.ids) {
                const BlockTree::Node* node = tree.find(id);
                BlockPtr block = node == nullptr ? nullptr : node->block;
                for (auto it = held.begin(); block == nullptr && it != held.end(); ++it) {
                    block = it->second.block->id == id ? it->second.block : nullptr;
                }
                if (block != nullptr && bytes + block->body->size() <= limits::fetch_bytes_max) {
                    bytes += block->body->size();
                    answer.blocks.push_back(std::move(block));
                }
            }
            if (!answer.blocks.empty()) {
                send(from, std::move(answer));
            }
            return;
        }
        case Fetch::What::new_view: {
            // At most one a second for each peer: it is the largest answer to the smallest question.
            std::uint64_t& served = last_new_view_served[from.value];
            const bool durable_here = new_view && durable.entered == new_view->view;
            if (durable_here && (served == 0 || tick - served >= ticks_of(1'000))) {
                served = tick;
                send(from, *new_view);
            }
            return;
        }
    }
}

// The uncommitted chain of the view that this replica is in, and the proof of its lock.
Blocks Core::State::own_tail() const {
    Blocks tail;
    if (!in_view() || !base_ready) {
        return tail;
    }
    std::size_t bytes = 0;
    for (const Header& header : tree.path(committed, vs.prep.block)) {
        const BlockTree::Node* node = tree.find(header_id(context, header));
        if (node == nullptr || node->block == nullptr || bytes + node->block->body->size() > limits::fetch_bytes_max) {
            break;
        }
        bytes += node->block->body->size();
        tail.blocks.push_back(node->block);
    }
    if (lock_certificate && vs.lock.view.is(vs.entered)) {
        tail.prepare = lock_certificate;
    }
    return tail;
}

// ---- Taking

void Core::State::on_blocks(ReplicaId from, const Blocks& message) {
    if (!halted) {
        for (const BlockPtr& block : message.blocks) {
            store_again(block);
        }
    }
    // Answers that nobody asked for must not outrun the executor.
    if (halted || !takes_more()) {
        return;
    }
    if (message.checkpoint) {
        if (message.checkpoint->commit && !crash_mode) {
            examine(*message.checkpoint->commit);
        }
        fetch_open = false;
        on_checkpoint_proof(from, *message.checkpoint);
        return;
    }
    for (const BlockPtr& block : message.blocks) {
        examine(block);
    }
    for (const auto& certificate : {message.commit, message.prepare}) {
        if (certificate && !crash_mode) {
            examine(*certificate);
        }
    }
    const Height before = committed.height;
    take_committed(message);
    take_tail(message);
    // More of the same peer at once while it helps.
    if (fetch_open && committed.height > before && peers[from.value].committed > committed.height && takes_more()) {
        last_fetch = tick;
        send(from, Fetch{Fetch::What::committed, committed.height.next(), {}});
    } else {
        fetch_open = false;
    }
}

// Entry: the verifier checked that the headers are one chain under the commit certificate (in crash mode a peer's word
// is enough). Takes the blocks that continue the own committed chain.
void Core::State::take_committed(const Blocks& message) {
    std::map<crypto::Digest, BlockPtr> bodies;
    for (const BlockPtr& block : message.blocks) {
        bodies.emplace(block->id, block);
    }
    BlockRef reached = committed;
    for (const Header& header : message.headers) {
        if (header.height != reached.height.next()) {
            continue;
        }
        const crypto::Digest id = header_id(context, header);
        const auto body = bodies.find(id);
        if (header.parent != reached.id) {
            halt("certified blocks contradict what was committed here");
            return;
        }
        if (body == bodies.end() && !tree.has_body(id)) {
            break;
        }
        if (body != bodies.end()) {
            tree.add_block(body->second);
        }
        reached = {header.height, id};
    }
    if (reached == committed) {
        return;
    }
    const bool whole = message.commit && message.commit->target.height == reached.height;
    commit(reached, whole ? message.commit : std::nullopt);
}

void Core::State::take_tail(const Blocks& message) {
    for (const BlockPtr& block : message.blocks) {
        if (wanted.erase(block->id) > 0) {
            tree.add_block(block);
        }
    }
    // Downwards: each body names the parent that makes the next one certain. What is not on the base's chain stays out.
    for (auto block = message.blocks.rbegin(); !base_ready && block != message.blocks.rend(); ++block) {
        const auto on_chain = tree.ancestor(base.block, (*block)->header.height);
        if ((*block)->header.height > committed.height && on_chain && *on_chain == (*block)->id) {
            tree.add_block(*block);
        }
    }
    for (const BlockPtr& block : message.blocks) {
        if (block->header.height > committed.height && block->header.view == vs.entered && in_view()) {
            hold_proposal(block);
        }
    }
    if (message.prepare && !crash_mode && message.prepare->view == vs.entered) {
        for (const Vote& vote : message.prepare->votes) {
            if (!is_self(vote.voter)) {
                votes.add(vote);
            }
        }
    }
}

// ---- The own log: A6

void Core::State::on_log_damaged(const std::vector<BlockRef>& blocks) {
    damaged.clear();
    if (halted || !rules.has("A6-repair")) {
        return;
    }
    for (const BlockRef& block : blocks) {
        if (!block.id.is_zero()) {
            damaged.emplace(block.id, block.height);
        }
    }
    for (const BlockRef& block : blocks) {
        const BlockTree::Node* node = tree.find(block.id);
        if (node != nullptr && node->block != nullptr) {
            store_again(node->block);
        }
    }
}

// From the lowest on, of every peer in turn: one that forgot it, or whose own copy rotted, does not give it.
void Core::State::fetch_damaged() {
    if (damaged.empty() || halted || tick - last_repair < ticks_of(repair_heartbeats * options.heartbeat_ms)) {
        return;
    }
    last_repair = tick;
    const auto lowest = std::min_element(damaged.begin(), damaged.end(),
                                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (const auto peer = next_peer(repair_turn, [](const State&, const Heartbeat&) { return true; })) {
        send(*peer, Fetch{Fetch::What::committed, lowest->second, {}});
    }
}

// A block's id binds all of it, and the id came from what is committed here: any peer's copy is as good as the lost
// one.
void Core::State::store_again(const BlockPtr& block) {
    if (damaged.erase(block->id) > 0) {
        to_write.emplace_back(BlockRecord{block});
    }
}

// N10: a committed block of the current view, or its base, on the own chain moves prep up, so that a replica that was
// away votes in its view again.
void Core::State::advance_prep_by_commit() {
    if (!in_view() || halted || committed.height.value == 0 || !rules.has("N10")) {
        return;
    }
    if (!state_lost.empty()) {
        return;  // S1: it could not compare what these blocks say of the state
    }
    const BlockTree::Node* node = tree.find(committed.id);
    const bool of_view = committed == base.block || (node != nullptr && node->header.view == vs.entered);
    if (!of_view || committed.height < base.block.height) {
        return;
    }
    const bool behind = vs.prep.view != vs.entered || vs.prep.block.height < committed.height;
    if (!behind) {
        return;
    }
    // A voter for the losing side of an equivocation stays silent in this view; it still executes. So does one that
    // cannot tell any more, because its state came by transfer: two votes for two chains would be evidence against it
    // (E2). In crash mode a view has one chain only.
    if (vs.prep.view == vs.entered && base_ready) {
        const auto at = vs.prep.block.height;
        const auto below = committed_ids.find(at);
        const auto on_chain =
            below != committed_ids.end() ? std::optional(below->second) : tree.ancestor(committed, at);
        const bool cannot_tell = crash_mode && !on_chain && committed.height > at;
        if (!cannot_tell && (!on_chain || *on_chain != vs.prep.block.id)) {
            return;
        }
    }
    vs.prep = {vs.entered, committed};
    base_ready = true;
    if (crash_mode) {
        vs.lock = {LockView(vs.entered), committed};
    }
    if (last_proposed.height < committed.height) {
        last_proposed = committed;
    }
}

}  // namespace loyal::consensus
