#include "bench/fixture.h"

#include <utility>
#include <vector>

#include "config/assert.h"
#include "kvstore/operation.h"

namespace loyal::bench {
namespace {

std::array<std::uint8_t, 32> seed_of(std::uint8_t fill) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(fill);
    return seed;
}

Bytes numbered(std::uint64_t number, std::size_t bytes) {
    Bytes text = bytes_of(std::to_string(number));
    text.resize(bytes, '.');
    return text;
}

}  // namespace

Fixture::Fixture()
    : context{.cluster_id = crypto::digest_of("bench", {}), .epoch = consensus::Epoch(1)},
      leader(crypto::Identity::from_seed(seed_of(1))),
      client(crypto::Identity::from_seed(seed_of(2))),
      client_id(consensus::client_id_of(client.public_key())),
      head_(consensus::genesis_block(context)) {}

Bytes Fixture::next_envelope(std::size_t operations, std::size_t keys) {
    std::vector<kvstore::Operation> puts;
    puts.reserve(operations);
    for (std::size_t i = 0; i < operations; ++i) {
        // A stride that visits the keys in an order of which the store cannot make a sequence.
        next_key_ = (next_key_ + 7919) % keys;
        puts.emplace_back(kvstore::Put{numbered(next_key_, key_bytes), numbered(next_seq_ + i, value_bytes)});
    }
    consensus::EnvelopeContent content;
    content.key = client.public_key();
    content.session = consensus::SessionId(1);
    content.seq0 = consensus::Seq(next_seq_);
    content.count = static_cast<std::uint16_t>(operations);
    content.not_after = consensus::Hlc(wall_ms_ + 60'000, 0);
    content.ack_low = consensus::Seq(next_seq_);
    content.operations = kvstore::encode_operations(puts);
    next_seq_ += operations;
    return consensus::make_envelope(content, context.cluster_id, context.epoch, &client);
}

consensus::BlockPtr Fixture::next_block(std::size_t envelopes, std::size_t operations, std::size_t keys) {
    std::vector<consensus::Envelope> parsed;
    for (std::size_t i = 0; i < envelopes; ++i) {
        auto envelope = consensus::parse_envelope(std::make_shared<const Bytes>(next_envelope(operations, keys)));
        LOYAL_ASSERT(envelope.has_value(), "a benchmark's own envelope parses");
        parsed.push_back(std::move(*envelope));
    }
    auto body = std::make_shared<const Bytes>(consensus::make_body(parsed));
    consensus::Header header;
    header.height = head_.height.next();
    header.parent = head_.id;
    header.body_root = consensus::body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = static_cast<std::uint32_t>(envelopes);
    header.hlc = consensus::Hlc(++wall_ms_, 0);
    const crypto::Digest id = consensus::header_id(context, header);
    const auto signature = leader.sign(consensus::signed_bytes(context, consensus::SignDomain::propose, id.view()));
    auto block = consensus::make_block(context, header, signature, std::move(body));
    LOYAL_ASSERT(block.has_value(), "a benchmark's own block is well formed");
    head_ = (*block)->ref();
    return *block;
}

}  // namespace loyal::bench
