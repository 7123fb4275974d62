// Records as they may come back from a damaged disk. The first byte picks a decoder; with an odd one the seal is made
// to fit first, so that the decoders behind it are reached, too. Nothing may crash, and what is accepted must re-encode
// to what was read.
#include <cstdlib>

#include "crypto/seal.h"
#include "kvstore/kv_tables.h"
#include "kvstore/log_records.h"

namespace {

using namespace loyal;
using namespace loyal::kvstore;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool equal(ByteView a, ByteView b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Bytes sealed_or_raw(bool reseal, std::string_view table, ByteView key, ByteView input) {
    return reseal ? crypto::seal(table, key, input) : Bytes(input.begin(), input.end());
}

void try_log_record(const consensus::ClusterContext& context, bool reseal, ByteView input) {
    const Bytes key = sequence_key(7);
    const Bytes sealed = sealed_or_raw(reseal, records_table_name, key, input);
    (void)open_block_head(context, sealed);
    (void)open_block(context, key, sealed);
    const auto kind = kind_of(sealed);
    const auto payload = kind ? open_record(key, sealed, *kind) : open_record(key, sealed, RecordKind::mark);
    if (!kind || !payload || *kind != RecordKind::commit) {
        return;
    }
    if (const auto commit = decode_commit(*payload)) {
        require(equal(seal_record(key, *commit), sealed));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const bool reseal = (data[0] & 1U) != 0;
    const ByteView input(data + 1, size - 1);
    switch (data[0] / 2 % 5) {
        case 0: try_log_record({}, reseal, input); break;
        case 1: {
            const Bytes sealed = sealed_or_raw(reseal, vote_a_table_name, view_of(vote_key), input);
            if (const auto copy = open_vote_copy(vote_a_table_name, sealed)) {
                require(equal(seal_vote_copy(vote_a_table_name, *copy), sealed));
            }
            break;
        }
        case 2: {
            const Bytes sealed = sealed_or_raw(reseal, keys_table_name, view_of("key"), input);
            const auto linked = linked_table(StateTable::keys).open({view_of("key"), sealed});
            const auto record = linked ? decode_key_record(linked->content) : Result<KeyView>();
            if (linked && record) {
                require(sealed.size() == link_bytes + 44 + record->value.size() + crypto::seal_bytes);
            }
            break;
        }
        case 3:
            if (const auto session = decode_session(input)) {
                // Origins may be listed in another order than ours, so compare what they mean.
                const auto again = decode_session(encode_session(*session));
                require(again.has_value() && *again == *session);
            }
            break;
        default: {
            if (const auto meta = decode_meta(input)) {
                require(equal(encode_meta(*meta), input));
            }
        }
    }
    return 0;
}
