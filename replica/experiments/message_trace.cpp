#include "replica/experiments/message_trace.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace loyal::replica {
namespace {

using Json = nlohmann::ordered_json;

std::string brief(const crypto::Digest& id) {
    return id.hex().substr(0, 8);
}

struct Gist {
    std::uint64_t view = 0, height = 0;
    std::string detail;
};

// The same for the sender and the receiver, so that the lab can join the two.
struct GistOf {
    Gist operator()(const consensus::Propose& propose) const {
        const consensus::Header& header = propose.block->header;
        return {header.view.value, header.height.value,
                "block " + brief(propose.block->id) + ", " + std::to_string(header.envelopes) + " envelopes"};
    }
    Gist operator()(const consensus::Vote& vote) const {
        std::string text = "prepare " + std::to_string(vote.prep.height.value) + " " + brief(vote.prep.id);
        if (vote.has_commit()) {
            text += ", commit " + std::to_string(vote.com.height.value) + " " + brief(vote.com.id);
        }
        return {vote.view.value, vote.prep.height.value, std::move(text)};
    }
    Gist operator()(const consensus::ViewChange& change) const {
        return {change.new_view.value, change.lock.block.height.value,
                change.lock.view.is_genesis() ? "no lock" : "lock " + brief(change.lock.block.id)};
    }
    Gist operator()(const consensus::NewView& view) const {
        return {view.view.value, view.base.block.height.value, "starts from " + brief(view.base.block.id)};
    }
    Gist operator()(const consensus::Heartbeat& heartbeat) const {
        return {heartbeat.entered.value, heartbeat.committed.value, {}};
    }
    Gist operator()(const consensus::Fetch& fetch) const {
        return {0, fetch.from.value,
                fetch.what == consensus::Fetch::What::by_id ? std::to_string(fetch.ids.size()) + " blocks by id" : ""};
    }
    Gist operator()(const consensus::Blocks& blocks) const {
        return {0, blocks.blocks.empty() ? 0 : blocks.blocks.back()->header.height.value,
                std::to_string(blocks.blocks.size()) + " blocks"};
    }
    Gist operator()(const consensus::PreVote& vote) const { return {vote.new_view.value, 0, {}}; }
    Gist operator()(const consensus::PreVoteGrant& grant) const { return {grant.new_view.value, 0, {}}; }
    template <class Other>
    Gist operator()(const Other&) const {
        return {};
    }
};

}  // namespace

void MessageTrace::add(bool sent, consensus::ReplicaId peer, const consensus::PeerMessage& message,
                       std::uint64_t now_us) {
    Gist gist = std::visit(GistOf{}, message);
    Entry entry{now_us, sent, peer, consensus::name_of(message), gist.view, gist.height, std::move(gist.detail)};
    if (ring_.size() < entries_max_) {
        ring_.push_back(std::move(entry));
        return;
    }
    ring_[next_] = std::move(entry);
    next_ = (next_ + 1) % entries_max_;
}

std::string MessageTrace::json(std::uint64_t since_us, std::size_t bytes_max) const {
    constexpr std::size_t frame_bytes = 128;  // around the messages
    std::string list;
    bool more = false;
    for (std::size_t i = 0; i < ring_.size() && !more; ++i) {
        const Entry& entry = ring_[(next_ + i) % ring_.size()];
        if (entry.at_us < since_us) {
            continue;
        }
        const std::string text = Json{
            {"us", entry.at_us},        {"dir", entry.sent ? "sent" : "received"},
            {"peer", entry.peer.value}, {"kind", entry.kind},
            {"view", entry.view},       {"height", entry.height},
            {"detail", entry.detail}}.dump();
        more = list.size() + text.size() + 1 + frame_bytes > bytes_max;
        if (!more) {
            list += (list.empty() ? "" : ",") + text;
        }
    }
    // The list is an array of documents that are complete already: only it is put together by hand.
    return R"({"replica":)" + std::to_string(self_.value) + R"(,"messages":[)" + list + R"(],"more":)" +
           (more ? "true" : "false") + "}";
}

}  // namespace loyal::replica
