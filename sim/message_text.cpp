#include "sim/message_text.h"

#include <fmt/format.h>

#include "sim/trace.h"

namespace loyal::sim {
namespace {

std::string block_text(const crypto::Digest& id) {
    return fmt::format("block {:08x}", brief(id) >> 32U);
}

struct PeerText {
    void operator()(const consensus::Propose& propose) {
        const consensus::Header& header = propose.block->header;
        out.view = header.view.value;
        out.height = header.height.value;
        out.detail = fmt::format("{}, {} envelopes", block_text(propose.block->id), header.envelopes);
    }
    void operator()(const consensus::Vote& vote) {
        out.view = vote.view.value;
        out.height = vote.prep.height.value;
        out.detail = fmt::format("prepare {} {}", vote.prep.height.value, block_text(vote.prep.id));
        if (vote.has_commit()) {
            out.detail += fmt::format(", commit {} {}", vote.com.height.value, block_text(vote.com.id));
        }
    }
    void operator()(const consensus::ViewChange& change) {
        out.view = change.new_view.value;
        out.height = change.lock.block.height.value;
        out.detail = change.lock.view.is_genesis()
                         ? "no lock"
                         : fmt::format("lock {} of view {}", block_text(change.lock.block.id), change.lock.view.value);
    }
    void operator()(const consensus::NewView& view) {
        out.view = view.view.value;
        out.height = view.base.block.height.value;
        out.detail = fmt::format("starts from {}", block_text(view.base.block.id));
    }
    void operator()(const consensus::Heartbeat& heartbeat) {
        out.view = heartbeat.entered.value;
        out.height = heartbeat.committed.value;
    }
    void operator()(const consensus::Fetch& fetch) { out.height = fetch.from.value; }
    void operator()(const consensus::Blocks& blocks) {
        out.height = blocks.blocks.empty() ? 0 : blocks.blocks.back()->header.height.value;
        out.detail = fmt::format("{} blocks", blocks.blocks.size());
    }
    void operator()(const consensus::PreVote& vote) { out.view = vote.new_view.value; }
    void operator()(const consensus::PreVoteGrant& grant) { out.view = grant.new_view.value; }
    template <class Other>
    void operator()(const Other&) {}

    MessageSeen& out;
};

struct ClientText {
    void operator()(const wire::Submit& submit) {
        out.kind = "SUBMIT";
        out.detail = fmt::format("{} operations from {}", submit.envelope.count, submit.envelope.seq0.value);
    }
    void operator()(const wire::Read& read) {
        out.kind = "READ";
        const auto* range = std::get_if<kvstore::Range>(&read.query);
        out.detail = range != nullptr ? string_of(range->begin) : "leases or locks";
    }
    void operator()(const wire::Welcome& welcome) {
        out.kind = "WELCOME";
        out.view = welcome.view.value;
    }
    void operator()(const wire::Reply& reply) {
        out.kind = "REPLY";
        out.view = reply.view.value;
        out.detail = fmt::format("{} outcomes", reply.outcomes.size());
    }
    void operator()(const wire::Refusal& refusal) {
        out.kind = "REFUSAL";
        out.detail = wire::name_of(refusal.code);
    }
    void operator()(const wire::ReadReply& reply) {
        out.kind = "READ_REPLY";
        out.height = reply.executed.value;
    }
    void operator()(const wire::Watch& watch) {
        out.kind = "WATCH";
        out.detail = string_of(watch.begin);
    }
    void operator()(const wire::Unwatch&) { out.kind = "UNWATCH"; }
    void operator()(const wire::WatchEvents& events) {
        out.kind = "WATCH_EVENTS";
        out.detail = fmt::format("{} changes", events.changes.size());
    }
    void operator()(const wire::WatchProgress&) { out.kind = "WATCH_PROGRESS"; }
    void operator()(const wire::WatchEnd& end) {
        out.kind = "WATCH_END";
        out.detail = wire::name_of(end.reason);
    }
    template <class Other>
    void operator()(const Other&) {
        out.kind = "OTHER";
    }

    MessageSeen& out;
};

}  // namespace

MessageSeen seen(const consensus::PeerMessage& message) {
    MessageSeen out;
    out.kind = consensus::name_of(message);
    std::visit(PeerText{out}, message);
    return out;
}

MessageSeen seen(const wire::ClientMessage& message) {
    MessageSeen out;
    std::visit(ClientText{out}, message);
    return out;
}

MessageSeen seen(const wire::ReplicaMessage& message) {
    MessageSeen out;
    std::visit(ClientText{out}, message);
    return out;
}

}  // namespace loyal::sim
