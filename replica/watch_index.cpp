#include "replica/watch_index.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"

namespace loyal::replica {
namespace {

bool key_less(ByteView a, ByteView b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

// An end: nothing stands for "behind all keys".
bool ends_behind(const std::optional<Bytes>& end, ByteView key) {
    return !end || key_less(key, *end);
}

}  // namespace

struct WatchIndex::Node {
    Bytes begin;
    std::optional<Bytes> end;
    Handle handle = 0;
    std::uint64_t rank = 0;  // of the heap
    // Of this node and all below: whose end is furthest. Points into the tree.
    const Node* furthest = nullptr;
    NodePtr left, right;
};

WatchIndex::WatchIndex(std::uint64_t seed) : random_(seed) {}
WatchIndex::~WatchIndex() = default;

void WatchIndex::refresh(Node& node) {
    node.furthest = &node;
    for (const Node* child : {node.left.get(), node.right.get()}) {
        if (child == nullptr || !node.furthest->end) {
            continue;
        }
        const std::optional<Bytes>& theirs = child->furthest->end;
        if (!theirs || key_less(*node.furthest->end, *theirs)) {
            node.furthest = child->furthest;
        }
    }
}

void WatchIndex::split(NodePtr tree, ByteView begin, Handle handle, NodePtr& before, NodePtr& rest) {
    if (!tree) {
        before.reset();
        rest.reset();
        return;
    }
    const bool is_before = key_less(tree->begin, begin) || (!key_less(begin, tree->begin) && tree->handle < handle);
    NodePtr inner_before;
    NodePtr inner_rest;
    if (is_before) {
        split(std::move(tree->right), begin, handle, inner_before, inner_rest);
        tree->right = std::move(inner_before);
        refresh(*tree);
        before = std::move(tree);
        rest = std::move(inner_rest);
    } else {
        split(std::move(tree->left), begin, handle, inner_before, inner_rest);
        tree->left = std::move(inner_rest);
        refresh(*tree);
        before = std::move(inner_before);
        rest = std::move(tree);
    }
}

WatchIndex::NodePtr WatchIndex::join(NodePtr before, NodePtr rest) {
    if (!before || !rest) {
        return before ? std::move(before) : std::move(rest);
    }
    if (before->rank < rest->rank) {
        before->right = join(std::move(before->right), std::move(rest));
        refresh(*before);
        return before;
    }
    rest->left = join(std::move(before), std::move(rest->left));
    refresh(*rest);
    return rest;
}

void WatchIndex::add(Handle handle, ByteView begin, const std::optional<Bytes>& end) {
    ++size_;
    if (!end) {
        keys_[string_of(begin)].push_back(handle);
        return;
    }
    auto node = std::make_unique<Node>();
    node->begin.assign(begin.begin(), begin.end());
    if (!end->empty()) {
        node->end = *end;
    }
    node->handle = handle;
    random_ += 0x9E3779B97F4A7C15U;  // splitmix64
    std::uint64_t mixed = random_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    node->rank = mixed ^ (mixed >> 31U);
    refresh(*node);
    NodePtr before;
    NodePtr rest;
    split(std::move(ranges_), begin, handle, before, rest);
    ranges_ = join(join(std::move(before), std::move(node)), std::move(rest));
}

void WatchIndex::remove(Handle handle, ByteView begin, const std::optional<Bytes>& end) {
    if (!end) {
        const auto found = keys_.find(string_of(begin));
        LOYAL_ASSERT(found != keys_.end() && std::erase(found->second, handle) == 1, "only what is there is removed");
        if (found->second.empty()) {
            keys_.erase(found);
        }
        --size_;
        return;
    }
    NodePtr before;
    NodePtr node;
    NodePtr rest;
    split(std::move(ranges_), begin, handle, before, rest);
    split(std::move(rest), begin, handle + 1, node, rest);
    LOYAL_ASSERT(node && !node->left && !node->right, "only what is there is removed");
    ranges_ = join(std::move(before), std::move(rest));
    --size_;
}

void WatchIndex::match(const Node* tree, ByteView key, std::vector<Handle>& found) {
    if (tree == nullptr || !ends_behind(tree->furthest->end, key)) {
        return;
    }
    match(tree->left.get(), key, found);
    if (key_less(key, tree->begin)) {
        return;  // and so are all to the right
    }
    if (ends_behind(tree->end, key)) {
        found.push_back(tree->handle);
    }
    match(tree->right.get(), key, found);
}

void WatchIndex::match(ByteView key, std::vector<Handle>& found) const {
    if (const auto exact = keys_.find(string_of(key)); exact != keys_.end()) {
        found.insert(found.end(), exact->second.begin(), exact->second.end());
    }
    match(ranges_.get(), key, found);
}

}  // namespace loyal::replica
