// The way of a read (PROTOCOL.md R1 to R4): round 1 to all; when that gives no agreement, round 2 to all with min_h,
// the height that w replicas claim to have executed; then as an operation in the order of writes. A fast read needs no
// signature and changes nothing, so it may be asked any number of times.
//
// In round 1 the result itself is asked of f+1 replicas (in turn), of which one is honest, and its digest of the
// others.
#include <algorithm>

#include "client/session_state.h"
#include "config/assert.h"
#include "config/limits.h"

namespace loyal::client {

namespace {

using consensus::Height;
using consensus::ReplicaId;
using kvstore::Status;

constexpr std::size_t reads_under_way_max = 512;
// A round ends when everybody has answered, at the latest after so many T_retry.
constexpr std::uint64_t round_retries = 3;
constexpr std::uint64_t rest_parts = 5;  // of the time between retries: until the rest is asked, too

std::vector<ReadVote> votes_of(const PendingRead& read) {
    std::vector<ReadVote> votes;
    for (std::uint16_t id = 0; id < read.replies.size(); ++id) {
        if (const auto& reply = read.replies[id]) {
            votes.push_back({ReplicaId(id), reply->digest, reply->executed, reply->lock});
        }
    }
    return votes;
}

// Of the replies with this digest: the w-th lowest executed height. An honest replica's is not above it, so what is
// reported is not made up out of the blue; it says how old the answer may be, not how it was proved.
const wire::ReadReply& representative(const PendingRead& read, const crypto::Digest& digest, std::size_t w) {
    std::vector<const wire::ReadReply*> equal;
    for (const auto& reply : read.replies) {
        if (reply && reply->digest == digest) {
            equal.push_back(&*reply);
        }
    }
    LOYAL_ASSERT(!equal.empty(), "an accepted result has a reply");
    std::sort(equal.begin(), equal.end(), [](const auto* a, const auto* b) { return a->executed < b->executed; });
    return *equal[std::min(w, equal.size()) - 1];
}

// Only more liars than the model allows can agree on this.
void take_malformed(ReadResult& result) {
    result.why = "a quorum of replicas agrees on an answer that is malformed";
    result.integrity = true;
}

struct Decodes {
    ByteView result;

    bool operator()(const kvstore::Range&) const { return kvstore::decode_range_result(result).has_value(); }
    bool operator()(const kvstore::LeaseQuery&) const { return kvstore::decode_lease_report(result).has_value(); }
    bool operator()(const kvstore::LockQuery&) const { return kvstore::decode_lock_report(result).has_value(); }
    bool operator()(const kvstore::ClientQuery&) const { return kvstore::decode_client_report(result).has_value(); }
};

bool is_well_formed(const kvstore::Query& query, const kvstore::QueryAnswer& answer) {
    switch (answer.status) {
        case Status::ok: return std::visit(Decodes{answer.result}, query);
        case Status::compacted: return kvstore::decode_count(answer.result).has_value();
        default: return true;
    }
}

void take_answer(ReadResult& result, const kvstore::Query& query, kvstore::QueryAnswer answer) {
    if (answer.status == Status::ok && std::holds_alternative<kvstore::Range>(query)) {
        auto range = kvstore::decode_range_result(answer.result);
        if (!range) {
            return take_malformed(result);
        }
        result.range = std::move(*range);
    } else if (!is_well_formed(query, answer)) {
        return take_malformed(result);
    }
    result.ok = answer.status == Status::ok;
    result.status = answer.status;
    result.denied = answer.status == Status::denied;
    result.result = std::move(answer.result);
    if (!result.ok) {
        result.why = to_string(result.status);
    }
}

}  // namespace

void Session::State::read(kvstore::Query query, OnRead done, std::optional<ReplicaId> stale_from, bool in_order) {
    ReadResult refused;
    if (const auto checked = kvstore::check_operation(kvstore::to_operation(query)); !checked) {
        refused.why = "invalid: " + checked.error().message;
        refused.status = Status::invalid;
    } else if (stale_from && stale_from->value >= quorum.n) {
        refused.why = "invalid: there is no replica " + std::to_string(stale_from->value);
        refused.status = Status::invalid;
    } else if (closed) {
        refused.why = "the session is closed";
    }
    if (!refused.why.empty()) {
        reads_done.emplace_back(std::move(done), std::move(refused));
        return;
    }
    PendingRead read;
    read.query = std::move(query);
    read.asked_ms = now_ms;
    read.deadline_ms = now_ms + options.timeout_ms;
    read.done = std::move(done);
    read.stale_from = stale_from;
    read.replies.resize(quorum.n);
    const std::uint64_t nonce = next_nonce++;
    reads.emplace(nonce, std::move(read));
    if (in_order) {
        ++reads_under_way;
        read_in_order(nonce);
    } else {
        reads_waiting.push_back(nonce);
    }
}

void Session::State::start_reads() {
    while (!reads_waiting.empty() && reads_under_way < reads_under_way_max) {
        const std::uint64_t nonce = reads_waiting.front();
        reads_waiting.pop_front();
        const auto found = reads.find(nonce);
        if (found == reads.end()) {
            continue;  // it timed out while it waited
        }
        ++reads_under_way;
        found->second.round = 1;
        begin_round(nonce, found->second);
    }
}

void Session::State::ask(std::uint64_t nonce, PendingRead& read, ReplicaId replica) {
    if ((connected & bit_of(replica)) == 0) {
        return;
    }
    wire::Read request;
    request.nonce = nonce;
    request.query = read.query;
    request.min_executed = read.executed_min;
    request.stale = read.stale_from.has_value();
    request.want_result =
        request.stale || read.round != 1 || read.rest_asked || count_of(read.asked_in_full) <= quorum.f;
    read.asked |= bit_of(replica);
    if (request.want_result) {
        read.asked_in_full |= bit_of(replica);
    }
    outgoing.push_back({replica, std::move(request)});
}

void Session::State::begin_round(std::uint64_t nonce, PendingRead& read) {
    read.asked = read.asked_in_full = read.finished = read.denied = 0;
    std::fill(read.replies.begin(), read.replies.end(), std::nullopt);
    read.round_ends_ms = now_ms + round_retries * options.retry_ms;
    if (read.stale_from) {
        ask(nonce, read, *read.stale_from);
        return;
    }
    const bool sparing = read.round == 1 && reads_of_all == 0;
    reads_of_all -= read.round == 1 && !sparing ? 1 : 0;
    read.rest_at_ms = sparing ? now_ms + std::max<std::uint64_t>(options.retry_ms / rest_parts, 1) : 0;
    for (std::size_t i = 0; i < quorum.n; ++i) {
        if (!sparing || count_of(read.asked) < quorum.q) {
            ask(nonce, read, ReplicaId(static_cast<std::uint16_t>((nonce + i) % quorum.n)));
        }
    }
}

// False: everybody who is there was asked.
bool Session::State::ask_rest(std::uint64_t nonce, PendingRead& read) {
    const ReplicaSet rest = connected & ~read.asked;
    read.rest_at_ms = 0;
    if (read.stale_from || rest == 0) {
        return false;
    }
    read.rest_asked = true;
    reads_of_all = options.reads_before_sparing;
    for (std::uint16_t replica = 0; replica < quorum.n; ++replica) {
        if ((rest & bit_of(ReplicaId(replica))) != 0) {
            ask(nonce, read, ReplicaId(replica));
        }
    }
    return true;
}

void Session::State::on_read_reply(ReplicaId from, const wire::ReadReply& reply) {
    const auto found = reads.find(reply.nonce);
    const ReplicaSet bit = bit_of(from);
    if (found == reads.end() || (found->second.asked & bit) == 0 || (found->second.finished & bit) != 0) {
        return;
    }
    if (reply.result && crypto::digest_of("read", *reply.result) != reply.digest) {
        return;  // a lie that anybody can see
    }
    found->second.finished |= bit;
    found->second.replies[from.value] = reply;
    judge(reply.nonce);
}

void Session::State::on_read_refusal(ReplicaId from, const wire::Refusal& refusal) {
    const auto found = reads.find(refusal.nonce);
    const ReplicaSet bit = bit_of(from);
    if (found == reads.end() || (found->second.asked & bit) == 0 || (found->second.finished & bit) != 0) {
        return;
    }
    PendingRead& read = found->second;
    read.finished |= bit;
    read.refusal = std::string(wire::name_of(refusal.code)) + (refusal.why.empty() ? "" : ", " + refusal.why);
    if (refusal.code == wire::RefusalCode::denied) {
        read.denied |= bit;
    }
    const std::size_t believed = read.stale_from ? 1 : quorum.w;
    if (count_of(read.denied) >= believed) {
        ReadResult result;
        result.why = "this client has no right to read";
        result.denied = true;
        finish_read(refusal.nonce, std::move(result));
        return;
    }
    judge(refusal.nonce);
}

// Something was learnt: accept, wait, or go on to the next round.
void Session::State::judge(std::uint64_t nonce) {
    const auto found = reads.find(nonce);
    if (found == reads.end() || found->second.round == 0 || found->second.round == 3) {
        return;
    }
    PendingRead& read = found->second;
    const std::vector<ReadVote> votes = votes_of(read);
    read.replies_most = std::max(read.replies_most, votes.size());
    std::optional<crypto::Digest> digest;
    if (read.stale_from) {
        digest = votes.empty() ? std::nullopt : std::optional(votes.front().digest);
    } else {
        digest = accepted_result(votes, quorum);
    }
    const bool all_answered = read.asked != 0 && (read.asked & ~read.finished) == 0;
    if (!digest) {
        // Fewer than q were there to ask: others may still connect before the round ends.
        if (all_answered && !ask_rest(nonce, read) && count_of(read.asked) >= quorum.q) {
            next_round(nonce);
        }
        return;
    }
    const auto whole = std::find_if(read.replies.begin(), read.replies.end(), [&](const auto& reply) {
        return reply && reply->digest == *digest && reply->result;
    });
    if (whole == read.replies.end()) {
        if ((all_answered || (read.asked_in_full & ~read.finished) == 0) && !ask_rest(nonce, read)) {
            next_round(nonce);  // those who were asked for it in full had another state, or lied
        }
        return;
    }
    ReadResult result;
    if (auto answer = kvstore::decode_query_answer(*(*whole)->result)) {
        take_answer(result, read.query, std::move(*answer));
    } else {
        take_malformed(result);
    }
    const wire::ReadReply& reply = representative(read, *digest, quorum.w);
    result.revision = reply.revision;
    result.executed = reply.executed;
    result.hlc = reply.hlc;
    result.path = read.stale_from ? ReadPath::stale : ReadPath::fast;
    for (const ReadVote& vote : votes) {
        if (vote.digest == *digest) {
            result.replicas.push_back(vote.replica);
        }
    }
    finish_read(nonce, std::move(result));
}

// R4: once more with min_h, then in the order of writes.
void Session::State::next_round(std::uint64_t nonce) {
    auto node = reads.extract(nonce);
    LOYAL_ASSERT(!node.empty(), "only a pending read goes on");
    PendingRead& read = node.mapped();
    const bool again = read.round == 1 || read.stale_from;
    if (again) {
        read.round = 2;
        read.executed_min = read.stale_from ? Height(0) : executed_claim(votes_of(read), quorum);
    }
    // A new nonce: late answers to the earlier round are no answers to this one.
    const std::uint64_t fresh = next_nonce++;
    node.key() = fresh;
    PendingRead& placed = reads.insert(std::move(node)).position->second;
    if (again) {
        begin_round(fresh, placed);
    } else {
        read_in_order(fresh);
    }
}

void Session::State::read_in_order(std::uint64_t nonce) {
    PendingRead& read = reads.at(nonce);
    read.round = 3;
    read.finished = read.asked;
    write(kvstore::to_operation(read.query), read.deadline_ms,
          [this, nonce](const WriteResult& result) { ordered_answer(nonce, result); });
}

void Session::State::ordered_answer(std::uint64_t nonce, const WriteResult& result) {
    const auto found = reads.find(nonce);
    if (found == reads.end()) {
        return;
    }
    ReadResult answer;
    if (result.certainty != Certainty::done) {
        answer = read_failure(found->second);
        answer.denied = result.denied;
        if (result.denied) {
            answer.why = "this client has no right to read";
        }
        finish_read(nonce, std::move(answer));
        return;
    }
    take_answer(answer, found->second.query, {result.outcome.status, result.outcome.result});
    answer.path = ReadPath::ordered;
    answer.revision = result.outcome.revision;
    answer.executed = result.outcome.height;
    answer.hlc = result.outcome.hlc;
    answer.replicas = result.replicas;
    finish_read(nonce, std::move(answer));
}

void Session::State::finish_read(std::uint64_t nonce, ReadResult result) {
    const auto found = reads.find(nonce);
    LOYAL_ASSERT(found != reads.end(), "a read is answered once");
    if (found->second.round != 0) {
        --reads_under_way;
    }
    reads_done.emplace_back(std::move(found->second.done), std::move(result));
    reads.erase(found);
}

// Answers came from a quorum, in a fast round, and still nothing could be believed: that is worth another word than
// silence.
ReadResult Session::State::read_failure(const PendingRead& read) const {
    ReadResult result;
    result.integrity = !read.stale_from && read.replies_most >= quorum.q;
    const std::string refusal = read.refusal.empty() ? "" : "; last refusal: " + read.refusal;
    if (result.integrity) {
        result.why = "replicas answered, but no quorum of them agreed within " + std::to_string(options.timeout_ms) +
                     " ms, and the read could not be ordered";
    } else {
        result.why =
            "no answer from a quorum within " + std::to_string(options.timeout_ms) + " ms (" + connection_text() + ")";
    }
    result.why += refusal;
    return result;
}

void Session::State::tick_reads() {
    std::vector<std::uint64_t> late;
    std::vector<std::uint64_t> over;
    for (auto& [nonce, read] : reads) {
        if (read.deadline_ms <= now_ms) {
            late.push_back(nonce);
        } else if (read.round == 1 && read.rest_at_ms != 0 && read.rest_at_ms <= now_ms) {
            (void)ask_rest(nonce, read);
        } else if ((read.round == 1 || read.round == 2) && read.round_ends_ms <= now_ms) {
            over.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : late) {
        finish_read(nonce, read_failure(reads.at(nonce)));
    }
    for (const std::uint64_t nonce : over) {
        next_round(nonce);
    }
}

}  // namespace loyal::client
