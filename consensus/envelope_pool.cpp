#include "consensus/envelope_pool.h"

#include <algorithm>

namespace loyal::consensus {

bool EnvelopePool::add(const Envelope& envelope, std::uint64_t tick, bool at_leader) {
    if (by_digest_.contains(envelope.digest) || entries_.size() >= limits::envelope_pool_max ||
        bytes_ + envelope.bytes.size() > limits::envelope_pool_bytes_max) {
        return false;
    }
    if (const auto share = shares_.find(envelope.client); share != shares_.end()) {
        if (share->second.envelopes >= limits::envelope_pool_of_client_max ||
            share->second.bytes + envelope.bytes.size() > limits::envelope_pool_bytes_of_client_max) {
            return false;
        }
    }
    Entry entry;
    entry.envelope = envelope;
    entry.arrived_tick = tick;
    if (at_leader) {
        entry.at_leader_tick = tick;
    }
    for (std::size_t i = 0; i < envelope.count; ++i) {
        entry.open.set(i);
    }
    bytes_ += envelope.bytes.size();
    Share& share = shares_[envelope.client];
    ++share.envelopes;
    share.bytes += envelope.bytes.size();
    entries_.push_back(std::move(entry));
    const Place place = std::prev(entries_.end());
    by_digest_.emplace(envelope.digest, place);
    by_session_[{envelope.client, envelope.session}].push_back(place);
    return true;
}

void EnvelopePool::remove(Place place) {
    const Envelope& envelope = place->envelope;
    bytes_ -= envelope.bytes.size();
    const auto share = shares_.find(envelope.client);
    share->second.bytes -= envelope.bytes.size();
    if (--share->second.envelopes == 0) {
        shares_.erase(share);
    }
    by_digest_.erase(envelope.digest);
    const auto session = by_session_.find({envelope.client, envelope.session});
    std::erase(session->second, place);
    if (session->second.empty()) {
        by_session_.erase(session);
    }
    entries_.erase(place);
}

void EnvelopePool::executed(const Block& block, bool by_sequence) {
    for (const Envelope& done : block.envelopes) {
        const auto session = by_session_.find({done.client, done.session});
        if (session == by_session_.end()) {
            continue;
        }
        std::vector<Place> finished;
        for (const Place place : session->second) {
            const Envelope& mine = place->envelope;
            if (!by_sequence && mine.digest != done.digest) {
                continue;
            }
            const std::uint64_t first = std::max(mine.seq0.value, done.seq0.value);
            const std::uint64_t end = std::min(mine.seq0.value + mine.count, done.seq0.value + done.count);
            for (std::uint64_t seq = first; seq < end; ++seq) {
                place->open.reset(seq - mine.seq0.value);
            }
            if (place->open.none()) {
                finished.push_back(place);
            }
        }
        for (const Place place : finished) {
            remove(place);
        }
    }
}

void EnvelopePool::expire(Hlc committed) {
    for (auto place = entries_.begin(); place != entries_.end();) {
        const auto here = place++;
        if (here->envelope.not_after < committed && !here->in_chain) {
            remove(here);
        }
    }
}

// What no block holds yet: the first of each client, then the second of each, and so on; clients in the order of their
// first. No more of them than a block may hold.
std::vector<const EnvelopePool::Entry*> EnvelopePool::in_turns() const {
    std::vector<std::vector<const Entry*>> queues;
    std::map<ClientId, std::size_t> places;
    std::size_t found = 0;
    for (const Entry& entry : entries_) {
        if (entry.in_chain) {
            continue;
        }
        const auto place = places.try_emplace(entry.envelope.client, queues.size()).first->second;
        if (place == queues.size()) {
            queues.emplace_back();
        }
        queues[place].push_back(&entry);
        if (++found == limits::block_envelopes_max && shares_.size() == 1) {
            break;
        }
    }
    std::vector<const Entry*> order;
    order.reserve(std::min(found, limits::block_envelopes_max));
    for (std::size_t turn = 0; order.size() < std::min(found, limits::block_envelopes_max); ++turn) {
        for (const auto& queue : queues) {
            if (turn < queue.size()) {
                order.push_back(queue[turn]);
            }
        }
    }
    return order;
}

std::vector<Envelope> EnvelopePool::next_batch() const {
    std::vector<Envelope> batch;
    std::size_t bytes = 0;
    std::size_t operations = 0;
    for (const Entry* entry : in_turns()) {
        const std::size_t size = 4 + entry->envelope.bytes.size();
        if (!batch.empty() && bytes + size > limits::body_bytes_target) {
            break;
        }
        batch.push_back(entry->envelope);
        bytes += size;
        operations += entry->envelope.count;
        if (operations >= limits::block_ops_target || batch.size() == limits::block_envelopes_max) {
            break;
        }
    }
    return batch;
}

const EnvelopePool::Entry* EnvelopePool::find(const crypto::Digest& digest) const {
    const auto found = by_digest_.find(digest);
    return found == by_digest_.end() ? nullptr : &*found->second;
}

bool EnvelopePool::has_unproposed() const {
    return std::any_of(entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.in_chain; });
}

std::size_t EnvelopePool::unproposed_bytes() const {
    std::size_t bytes = 0;
    for (const Entry& entry : entries_) {
        bytes += entry.in_chain ? 0 : entry.envelope.bytes.size();
    }
    return bytes;
}

void EnvelopePool::mark_in_chain(const Block& block, bool in_chain) {
    for (const Envelope& envelope : block.envelopes) {
        const auto found = by_digest_.find(envelope.digest);
        if (found != by_digest_.end()) {
            found->second->in_chain = in_chain;
        }
    }
}

void EnvelopePool::clear_in_chain() {
    for (Entry& entry : entries_) {
        entry.in_chain = false;
    }
}

void EnvelopePool::restart_timers(std::uint64_t tick, bool at_leader) {
    for (Entry& entry : entries_) {
        entry.arrived_tick = tick;
        entry.at_leader_tick = at_leader ? std::optional(tick) : std::nullopt;
    }
}

}  // namespace loyal::consensus
