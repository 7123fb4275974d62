// Parts of a state, as a peer that lies may send them, and the tables of checkpoints, as a damaged disk may give them
// back. The first byte picks a decoder; with an odd one the seal is made to fit first. Nothing may crash, and what is
// accepted must encode to what was read.
#include <cstdlib>

#include "crypto/seal.h"
#include "kvstore/checkpoint_tables.h"
#include "kvstore/linked_table.h"
#include "replica/state_transfer/serve_state.h"

namespace {

using namespace loyal;
using namespace loyal::kvstore;

constexpr Bucket bucket = 0x0102;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool equal(ByteView a, ByteView b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void try_parts(unsigned which, ByteView input) {
    switch (which) {
        case 0:
            if (const auto digests = decode_subtree(input)) {
                require(equal(encode_subtree(*digests), input));
            }
            break;
        case 1:
            if (const auto leaves = decode_leaves(bucket, input)) {
                require(equal(encode_leaves(*leaves), input));
            }
            break;
        case 2:
            if (const auto buckets = replica::decode_buckets(bucket, 16, input)) {
                require(!buckets->empty() && buckets->size() <= 16);
                require(equal(replica::encode_buckets(*buckets), input));
            }
            break;
        default:
            if (const auto records = decode_records(input)) {
                require(equal(encode_records(*records), input));
            }
            break;
    }
}

void try_tables(unsigned which, bool reseal, ByteView input) {
    const Bytes at = bucket_key(bucket);
    const Bytes at_pre = pre_key(consensus::Height(64), {1, 2});
    const auto sealed = [&](std::string_view table, ByteView key) {
        return reseal ? crypto::seal(table, key, input) : Bytes(input.begin(), input.end());
    };
    if (which == 0) {
        const Bytes stored = sealed(leaves_table_name, at);
        if (const auto leaves = open_leaves(bucket, stored)) {
            require(equal(seal_leaves(bucket, *leaves), stored));
        }
    } else if (which == 1) {
        const Bytes stored = sealed(nodes_table_name, at);
        if (const auto node = open_node(bucket, stored)) {
            require(equal(seal_node(bucket, *node), stored));
        }
    } else {
        const Bytes stored = sealed(pre_table_name, at_pre);
        if (const auto record = open_pre({at_pre, stored})) {
            require(equal(seal_pre(at_pre, *record), stored));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const ByteView input(data + 1, size - 1);
    const unsigned which = data[0] / 2 % 7;
    if (which < 4) {
        try_parts(which, input);
    } else {
        try_tables(which - 4, (data[0] & 1U) != 0, input);
    }
    return 0;
}
