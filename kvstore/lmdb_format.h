// LMDB 0.9's data file as it is on a little-endian machine with 64-bit words (mdb.c: MDB_page, MDB_node, MDB_db,
// MDB_meta). Private to page_walk.cpp.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "config/bytes.h"

namespace loyal::kvstore::lmdb_format {

static_assert(std::endian::native == std::endian::little && sizeof(std::size_t) == 8, "LMDB's files are native");

using PageNumber = std::uint64_t;

inline constexpr std::uint32_t magic = 0xbeefc0de;
inline constexpr std::uint32_t format_version = 1;
inline constexpr PageNumber no_page = ~PageNumber{0};
inline constexpr std::size_t page_header_bytes = 16;  // then the nodes' offsets, u16 each
inline constexpr std::size_t node_header_bytes = 8;   // u16 low and high half of the content's size, flags, key's size
inline constexpr std::uint16_t depth_max = 32;
inline constexpr std::size_t key_bytes_max = 511;
inline constexpr std::size_t page_bytes_min = 512;
inline constexpr std::size_t page_bytes_max = 32768;
enum PageFlags : std::uint16_t { branch_page = 0x01, leaf_page = 0x02, overflow_page = 0x04, meta_page = 0x08 };
enum NodeFlags : std::uint16_t { content_in_overflow = 0x01, content_is_table = 0x02 };
inline constexpr std::uint16_t integer_keys = 0x08;

struct PageHeader {
    PageNumber number = 0;
    std::uint16_t pad = 0;
    std::uint16_t flags = 0;
    std::uint16_t lower = 0;  // end of the offsets; with `upper` the number of pages of an overflow run
    std::uint16_t upper = 0;  // begin of the nodes

    [[nodiscard]] std::uint32_t run() const { return lower | static_cast<std::uint32_t>(upper) << 16U; }
};
struct Tree {
    std::uint32_t pad = 0;  // of the list of free pages: the size of a page
    std::uint16_t flags = 0;
    std::uint16_t depth = 0;
    std::uint64_t branch_pages = 0;
    std::uint64_t leaf_pages = 0;
    std::uint64_t overflow_pages = 0;
    std::uint64_t entries = 0;
    PageNumber root = 0;
};
struct Meta {
    std::uint32_t magic = 0;
    std::uint32_t version = 0;
    std::uint64_t address = 0;    // of use with a fixed map only
    std::uint64_t map_bytes = 0;  // we say it at each opening
    Tree free_list;
    Tree main;
    PageNumber last_page = 0;
    std::uint64_t transaction = 0;
};
static_assert(sizeof(PageHeader) == page_header_bytes && sizeof(Tree) == 48 && sizeof(Meta) == 136);

struct Node {
    std::uint16_t flags = 0;
    ByteView key;
    PageNumber child = 0;             // of a branch
    std::uint64_t content_bytes = 0;  // of a leaf
    ByteView stored;                  // of a leaf: the content, or the number of the first overflow page
};

template <class T>
T load(ByteView from, std::size_t at) {
    T value{};
    std::memcpy(static_cast<void*>(&value), from.data() + at, sizeof value);
    return value;
}

}  // namespace loyal::kvstore::lmdb_format
