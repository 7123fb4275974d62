// What peers answer: compared with the digest above it before anything of it is used (S6).
#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <tuple>

#include "config/assert.h"
#include "config/limits.h"
#include "replica/state_transfer/fetch_state.h"
#include "replica/state_transfer/serve_state.h"

namespace loyal::replica {
namespace {

// Answers to requests that were given up may come late; how many a peer are remembered.
constexpr std::size_t given_up_max = 4096;

}  // namespace

void StateFetch::State::on_chunk(ReplicaId from, const StateChunk& chunk) {
    if (!peers.known(from) || peers.dropped(from)) {
        return;
    }
    const RequestKey key{from, chunk.part, chunk.index};
    const auto found = chunk.checkpoint == target.height ? outstanding.find(key) : outstanding.end();
    if (found == outstanding.end()) {
        if (peers.unasked(from)) {
            drop(from, "it sends what nobody asked for");
        }
        return;
    }
    if (!chunk.available) {
        peers.forgotten(from, found->second.bytes);
        (void)peers.unasked(from);  // this was its answer
        peers.has_no_checkpoint(from, now_ms);
        const Outstanding request = std::move(found->second);
        outstanding.erase(found);
        ask_others(key, request);
        return;
    }
    const Outstanding request = found->second;
    std::string wrong;
    if (chunk.content == nullptr) {
        wrong = "an answer without content";
    } else {
        switch (chunk.part) {
            case StatePart::subtree: wrong = use_subtree(chunk); break;
            case StatePart::leaves: wrong = use_leaves(from, chunk, request); break;
            case StatePart::records: wrong = use_records(chunk, request); break;
        }
    }
    if (wrong.empty()) {
        counts.bytes += chunk.content->size();
        peers.answered(from, request.bytes, request.asked_ms, now_ms);
        outstanding.erase(key);
        return;
    }
    // The answer to an earlier request with the same index, which was given up, proves nothing against anybody.
    if (const auto late = given_up.find(key); late != given_up.end()) {
        if (--late->second == 0) {
            given_up.erase(late);
        }
        (void)peers.unasked(from);
        return;
    }
    drop(from, wrong);
}

std::string StateFetch::State::use_subtree(const StateChunk& chunk) {
    const auto digests_in = kvstore::decode_subtree(*chunk.content);
    if (!digests_in || digests_in->size() != kvstore::subtree_digests) {
        return "malformed digests";
    }
    if (kvstore::node_digest(*digests_in) != digest_above(chunk.index)) {
        return "digests that are not below the one above them";
    }
    use_digests(chunk.index, *digests_in);
    return {};
}

void StateFetch::State::use_digests(std::uint32_t index, const std::vector<Digest>& part) {
    if (index > 0) {
        const std::size_t node = index - 1;
        std::copy(part.begin(), part.end(),
                  digests.begin() + static_cast<std::ptrdiff_t>(node * kvstore::subtree_digests));
        subtree_known[node] = true;
        return;
    }
    top = part;
    for (std::uint32_t node = 0; node < kvstore::subtree_digests; ++node) {
        if ((*top)[node] == Digest{}) {
            subtree_known[node] = true;  // nothing below
        } else if (!know_already(node + 1)) {
            wanted_subtrees.emplace_back(node + 1, std::nullopt);
        }
    }
}

std::string StateFetch::State::use_leaves(ReplicaId from, const StateChunk& chunk, const Outstanding& request) {
    auto groups = decode_buckets(chunk.index, request.count, *chunk.content);
    if (!groups) {
        return "malformed leaves";
    }
    for (std::size_t i = 0; i < groups->size(); ++i) {
        const auto bucket = chunk.index + static_cast<Bucket>(i);
        if (kvstore::bucket_digest((*groups)[i]) != bucket_digest(bucket)) {
            return "leaves that are not those of their bucket";
        }
    }
    if (groups->size() < request.count && chunk.content->size() < state_answer_bytes_min) {
        return "fewer buckets than would have fitted";
    }
    for (std::size_t i = 0; i < groups->size(); ++i) {
        const auto bucket = chunk.index + static_cast<Bucket>(i);
        if (buckets[bucket] == BucketState::wanted && !failed) {
            const auto kept = builder->leaves(bucket);
            begin_gathering(bucket, std::move((*groups)[i]), kept ? *kept : std::vector<Leaf>());
        }
    }
    for (auto i = request.count; i > groups->size(); --i) {
        if (buckets[chunk.index + i - 1] == BucketState::wanted) {
            wanted_buckets.push_front({chunk.index + i - 1, from});
        }
    }
    return {};
}

std::string StateFetch::State::use_records(const StateChunk& chunk, const Outstanding& request) {
    auto records = kvstore::decode_records(*chunk.content);
    if (!records) {
        return "malformed records";
    }
    if (records->empty() || records->size() > request.leaves.size()) {
        return "not the records that it was asked for";
    }
    for (std::size_t i = 0; i < records->size(); ++i) {
        const StateRecord& record = (*records)[i];
        const Leaf& leaf = request.leaves[i];
        if (kvstore::leaf_name(options.salt, record.table, record.key) != leaf.name ||
            kvstore::leaf_digest(record.table, record.key, record.content) != leaf.digest) {
            return "a record that is not the one of its leaf";
        }
    }
    if (records->size() < request.leaves.size() && chunk.content->size() < state_answer_bytes_min) {
        return "fewer records than would have fitted";
    }
    for (std::size_t i = request.leaves.size(); i > records->size(); --i) {
        wanted_records.push_front({request.leaves[i - 1], std::nullopt});
    }
    record_bytes =
        0.75 * record_bytes + 0.25 * static_cast<double>(chunk.content->size()) / static_cast<double>(records->size());
    for (std::size_t i = 0; i < records->size(); ++i) {
        ++counts.records_fetched;
        const Bucket bucket = kvstore::bucket_of(request.leaves[i].name);
        Gathering& into = gathering.at(bucket);
        const std::size_t bytes = weight_of((*records)[i]);
        into.records.push_back(std::move((*records)[i]));
        into.bytes += bytes;
        gathered_bytes += bytes;
        --into.missing;
        complete_if_whole(bucket);
    }
    return {};
}

// What a peer was asked for in vain is asked of another one, before what is new.
void StateFetch::State::ask_others(const RequestKey& key, const Outstanding& request) {
    const PeerChoice avoid = key.peer;
    switch (key.part) {
        case StatePart::subtree: wanted_subtrees.emplace_front(key.index, avoid); break;
        case StatePart::leaves:
            for (std::uint32_t i = request.count; i > 0; --i) {
                if (buckets[key.index + i - 1] == BucketState::wanted) {
                    wanted_buckets.push_front({key.index + i - 1, avoid});
                }
            }
            break;
        case StatePart::records:
            for (auto leaf = request.leaves.rbegin(); leaf != request.leaves.rend(); ++leaf) {
                wanted_records.push_front({*leaf, avoid});
            }
            break;
    }
}

void StateFetch::State::drop(ReplicaId peer, const std::string& why) {
    peers.drop(peer);
    dropped.push_back({peer, why});
    for (auto at = outstanding.lower_bound({peer, StatePart{}, 0});
         at != outstanding.end() && at->first.peer == peer;) {
        peers.forgotten(peer, at->second.bytes);
        ask_others(at->first, at->second);
        at = outstanding.erase(at);
    }
    // Not all can lie: rather than never recover, begin with everybody anew.
    peers.forgive_if_all_are_dropped();
}

void StateFetch::State::expire() {
    for (auto at = outstanding.begin(); at != outstanding.end();) {
        const ReplicaId peer = at->first.peer;
        if (now_ms < at->second.asked_ms + peers.timeout_ms(peer)) {
            ++at;
            continue;
        }
        ++counts.late;
        peers.late(peer, at->second.bytes, now_ms);
        if (given_up.size() < given_up_max) {
            ++given_up[at->first];
        }
        ask_others(at->first, at->second);
        at = outstanding.erase(at);
    }
}

}  // namespace loyal::replica
