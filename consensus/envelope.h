// A client envelope (message 5, SUBMIT): 1 to 256 operations of one session under one signature. It travels, is logged
// and is hashed as the bytes that the client made; nobody re-encodes it. The operations are opaque here
// (kvstore/operation.h reads them).
//
// Layout, little-endian:  client 16 | key 32 | session u64 | seq0 u64 | count u16 | not_after u64 | ack_low u64 |
//                         ops u32+bytes | signature 64
// It carries its client's public key, and `client` is that key's name (client_id_of): whether it is authentic can be
// told from it alone. Whether the client is known, and what it may do, is another question.
#pragma once

#include <cstdint>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "crypto/signature.h"

namespace loyal::consensus {

// The first 16 bytes of H("client", public key).
[[nodiscard]] ClientId client_id_of(const crypto::PublicKey& key);

struct Envelope {
    ClientId client;
    crypto::PublicKey key;  // client == client_id_of(key)
    SessionId session;
    Seq seq0;  // operations have the sequence numbers seq0 .. seq0+count-1
    std::uint16_t count = 0;
    Hlc not_after;        // executes only in a block whose hlc is not later (C4)
    Seq ack_low;          // the client has the replies of all sequence numbers below this one
    ByteView operations;  // points into `owner`
    crypto::Signature signature;
    ByteView bytes;  // the whole encoding, signature included; points into `owner`
    SharedBytes owner;
    crypto::Digest digest;  // H("env", bytes without the signature): its identity
};

// Structure and bounds, and that the client is the key's; says nothing of the signature or of the operations inside.
[[nodiscard]] Result<Envelope> parse_envelope(SharedBytes bytes);
[[nodiscard]] Result<Envelope> parse_envelope(ByteView bytes, SharedBytes owner);

struct EnvelopeContent {
    crypto::PublicKey key;  // the client's
    SessionId session;
    Seq seq0;
    std::uint16_t count = 0;
    Hlc not_after;
    Seq ack_low;
    Bytes operations;
};
// `signer` is null in the crash fault model, where the link authenticates the client; the signature is then zero.
[[nodiscard]] Bytes make_envelope(const EnvelopeContent& content, const crypto::Digest& cluster_id, Epoch epoch,
                                  const crypto::Signer* signer);

// A block body is the concatenation of (u32 length | envelope bytes). `parse_body` refuses anything else.
[[nodiscard]] Bytes make_body(const std::vector<Envelope>& envelopes);
[[nodiscard]] Result<std::vector<Envelope>> parse_body(const SharedBytes& body);

}  // namespace loyal::consensus
