// The blocks that a replica knows near its heads, linked by parent id: the committed tail, the chain it prepares and
// what a view change may still choose. Bounded: only blocks that were proposed by the current leader, certified or
// asked for enter it, and everything below a floor behind the committed head is dropped.
#pragma once

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "consensus/messages.h"

namespace loyal::consensus {

enum class Relation { yes, no, unknown };

class BlockTree {
 public:
    struct Node {
        Header header;
        BlockPtr block;                   // null while only the header is known
        bool written = false;             // part of some Persist
        PersistId persist;                // of that; 0: was read back from the log
        std::uint64_t appended_tick = 0;  // when it joined the own prepare chain as a proposal; 0: did not
    };

    explicit BlockTree(const BlockRef& genesis) : genesis_(genesis) {}

    [[nodiscard]] const Node* find(const crypto::Digest& id) const;
    [[nodiscard]] Node* find(const crypto::Digest& id);
    // Some block that is here with its body; a walk over all of them.
    [[nodiscard]] BlockPtr find_block(const std::function<bool(const BlockPtr&)>& matches) const;
    [[nodiscard]] bool has_body(const crypto::Digest& id) const;
    void add_header(const crypto::Digest& id, const Header& header);
    Node& add_block(const BlockPtr& block);

    // Id of the ancestor-or-self of `head` at `height`; nothing if the walk leaves what is known.
    [[nodiscard]] std::optional<crypto::Digest> ancestor(const BlockRef& head, Height height) const;
    // Is `x` an ancestor of `head`, or `head` itself?
    [[nodiscard]] Relation contains(const BlockRef& head, const BlockRef& x) const;
    // First block without a body on the way from `head` down to, and not including, `above`; nothing when all are here.
    [[nodiscard]] std::optional<BlockRef> first_missing(const BlockRef& head, const BlockRef& above) const;
    // Headers above `from` up to `to`, in order; empty when `to` does not extend `from`, or is it.
    [[nodiscard]] std::vector<Header> path(const BlockRef& from, const BlockRef& to) const;
    // The hlc of a known block; zero for genesis.
    [[nodiscard]] std::optional<Hlc> hlc(const BlockRef& block) const;

    void drop_below(Height floor);
    [[nodiscard]] std::size_t size() const { return nodes_.size(); }

 private:
    BlockRef genesis_;
    std::unordered_map<crypto::Digest, Node> nodes_;
};

}  // namespace loyal::consensus
