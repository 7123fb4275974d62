#include "replica/replies.h"

#include "config/limits.h"

namespace loyal::replica {

bool sends_in_full(const ReplyContext& context, const consensus::ClientId& client, const kvstore::Outcome& outcome) {
    if (outcome.result.size() <= limits::result_inline_bytes_max) {
        return true;
    }
    std::uint64_t start = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        start |= static_cast<std::uint64_t>(client.bytes[i]) << (8 * i);
    }
    const std::size_t n = context.quorum.n;
    const std::size_t first = (start % n + outcome.seq.value % n) % n;
    const std::size_t distance = (context.self.value + n - first) % n;
    return distance <= context.quorum.f;
}

wire::Reply make_reply(const ReplyContext& context, const kvstore::Replies& replies, bool everything) {
    wire::Reply reply;
    reply.replica = context.self;
    reply.session = replies.session;
    reply.view = context.view;
    reply.hlc = context.hlc;
    reply.outcomes.reserve(replies.outcomes.size());
    for (const kvstore::Outcome& outcome : replies.outcomes) {
        wire::OutcomeReply one;
        one.seq = outcome.seq;
        one.digest = kvstore::outcome_digest(outcome);
        if (everything || sends_in_full(context, replies.client, outcome)) {
            one.outcome = outcome;
        }
        reply.outcomes.push_back(std::move(one));
    }
    return reply;
}

}  // namespace loyal::replica
