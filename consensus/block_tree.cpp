#include "consensus/block_tree.h"

#include <algorithm>

namespace loyal::consensus {

const BlockTree::Node* BlockTree::find(const crypto::Digest& id) const {
    const auto node = nodes_.find(id);
    return node == nodes_.end() ? nullptr : &node->second;
}

BlockTree::Node* BlockTree::find(const crypto::Digest& id) {
    const auto node = nodes_.find(id);
    return node == nodes_.end() ? nullptr : &node->second;
}

BlockPtr BlockTree::find_block(const std::function<bool(const BlockPtr&)>& matches) const {
    const auto found = std::find_if(nodes_.begin(), nodes_.end(), [&](const auto& entry) {
        return entry.second.block != nullptr && matches(entry.second.block);
    });
    return found == nodes_.end() ? nullptr : found->second.block;
}

bool BlockTree::has_body(const crypto::Digest& id) const {
    const Node* node = find(id);
    return id == genesis_.id || (node != nullptr && node->block != nullptr);
}

void BlockTree::add_header(const crypto::Digest& id, const Header& header) {
    nodes_.try_emplace(id, Node{header, nullptr, false, PersistId()});
}

BlockTree::Node& BlockTree::add_block(const BlockPtr& block) {
    Node& node = nodes_.try_emplace(block->id, Node{block->header, nullptr, false, PersistId()}).first->second;
    if (node.block == nullptr) {
        node.block = block;
    }
    return node;
}

std::optional<crypto::Digest> BlockTree::ancestor(const BlockRef& head, Height height) const {
    BlockRef at = head;
    while (at.height > height) {
        const Node* node = find(at.id);
        // A header may claim any height; a chain that does not count down by one is no chain.
        if (node == nullptr || node->header.height != at.height) {
            return std::nullopt;
        }
        at = {at.height.minus(1), node->header.parent};
    }
    return at.height == height ? std::optional(at.id) : std::nullopt;
}

Relation BlockTree::contains(const BlockRef& head, const BlockRef& x) const {
    if (x.height > head.height) {
        return Relation::no;
    }
    const auto id = ancestor(head, x.height);
    if (!id) {
        return Relation::unknown;
    }
    return *id == x.id ? Relation::yes : Relation::no;
}

std::optional<BlockRef> BlockTree::first_missing(const BlockRef& head, const BlockRef& above) const {
    BlockRef at = head;
    while (at.height > above.height) {
        const Node* node = find(at.id);
        if (node == nullptr || node->block == nullptr) {
            return at;
        }
        at = {at.height.minus(1), node->header.parent};
    }
    return std::nullopt;
}

std::vector<Header> BlockTree::path(const BlockRef& from, const BlockRef& to) const {
    std::vector<Header> headers;
    BlockRef at = to;
    while (at.height > from.height) {
        const Node* node = find(at.id);
        if (node == nullptr) {
            return {};
        }
        headers.push_back(node->header);
        at = {at.height.minus(1), node->header.parent};
    }
    if (at != from) {
        return {};
    }
    std::reverse(headers.begin(), headers.end());
    return headers;
}

std::optional<Hlc> BlockTree::hlc(const BlockRef& block) const {
    if (block == genesis_) {
        return Hlc();
    }
    const Node* node = find(block.id);
    return node == nullptr ? std::nullopt : std::optional(node->header.hlc);
}

void BlockTree::drop_below(Height floor) {
    std::erase_if(nodes_, [&](const auto& entry) { return entry.second.header.height < floor; });
}

}  // namespace loyal::consensus
