// WatchIndex: which watches a key matters to. Single keys are in a hash table; ranges and prefixes in a treap by their
// first key in which each node knows the furthest end below it (an interval tree: Cormen et al., "Introduction to
// Algorithms", 14.3), so that a key finds its k watches among n in about k + log n steps, whatever the ranges are like.
// Single-threaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/bytes.h"

namespace loyal::replica {

class WatchIndex {
 public:
    using Handle = std::uint64_t;  // chosen by the owner, one for each watch

    // `seed`: decides the shape of the tree, so that who chooses keys cannot; nothing that can be observed depends on
    // it.
    explicit WatchIndex(std::uint64_t seed);
    ~WatchIndex();
    WatchIndex(const WatchIndex&) = delete;
    WatchIndex& operator=(const WatchIndex&) = delete;

    // The key `begin`, or those in [begin, end); an empty end is behind all keys.
    void add(Handle handle, ByteView begin, const std::optional<Bytes>& end);
    // With what it was added with.
    void remove(Handle handle, ByteView begin, const std::optional<Bytes>& end);
    // Adds the handles of all watches of `key`.
    void match(ByteView key, std::vector<Handle>& found) const;
    [[nodiscard]] std::size_t size() const { return size_; }

 private:
    struct Node;
    using NodePtr = std::unique_ptr<Node>;
    static void refresh(Node& node);
    // Nodes before (begin, handle), and the rest.
    static void split(NodePtr tree, ByteView begin, Handle handle, NodePtr& before, NodePtr& rest);
    [[nodiscard]] static NodePtr join(NodePtr before, NodePtr rest);
    static void match(const Node* tree, ByteView key, std::vector<Handle>& found);

    std::uint64_t random_;
    std::unordered_map<std::string, std::vector<Handle>> keys_;
    NodePtr ranges_;
    std::size_t size_ = 0;
};

}  // namespace loyal::replica
