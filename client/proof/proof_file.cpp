#include "client/proof/proof_file.h"

#include <algorithm>
#include <string>
#include <utility>

#include "config/files.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::proof {

namespace {

constexpr std::string_view magic = "LKVPROOF";
constexpr std::uint16_t version = 1;
constexpr std::uint8_t kind_operation = 1;
constexpr std::uint8_t kind_state = 2;
constexpr std::size_t checksum_bytes = 32;
constexpr std::size_t head_bytes = 8 + 2 + 1 + 32 + 4;

tl::unexpected<Error> damaged(const std::string& why) {
    return fail(Errc::corrupted, "a damaged proof: " + why);
}

Bytes encode_signed(const SignedReceipt& of) {
    crypto::CanonicalWriter out;
    out.sized(kvstore::encode_receipt(of.receipt)).number(static_cast<std::uint16_t>(of.signatures.size()));
    for (const ReplicaSignature& each : of.signatures) {
        out.number(each.replica.value).signature(each.signature);
    }
    return out.take();
}

Result<SignedReceipt> decode_signed(ByteView bytes) {
    crypto::CanonicalReader in(bytes);
    auto receipt = kvstore::decode_receipt(in.sized(bytes.size()));
    if (!receipt) {
        return tl::unexpected(receipt.error());
    }
    SignedReceipt of{std::move(*receipt), {}};
    const auto count = in.number<std::uint16_t>();
    if (!in.ok() || count > limits::replicas_max) {
        return fail(Errc::invalid_argument, "too many signatures, or none");
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        ReplicaSignature each{consensus::ReplicaId(in.number<std::uint16_t>()), in.signature()};
        if (!of.signatures.empty() && !(of.signatures.back().replica < each.replica)) {
            return fail(Errc::invalid_argument, "its signatures are out of order");
        }
        of.signatures.push_back(each);
    }
    return in.finish() ? Result<SignedReceipt>(std::move(of))
                       : fail(Errc::invalid_argument, "cut short, or with bytes left over");
}

}  // namespace

Bytes encode_proof(const Proof& proof) {
    const auto* receipt = std::get_if<SignedReceipt>(&proof.content);
    crypto::CanonicalWriter out;
    out.raw(view_of(magic)).number(version).number(receipt != nullptr ? kind_operation : kind_state);
    out.digest(proof.cluster_id);
    out.sized(receipt != nullptr ? encode_signed(*receipt)
                                 : kvstore::encode_state_proof(std::get<kvstore::StateProof>(proof.content)));
    const crypto::Digest checksum = crypto::digest_of("proof-file", out.view());
    return out.digest(checksum).take();
}

Result<Proof> decode_proof(ByteView bytes) {
    crypto::CanonicalReader in(bytes);
    if (text_of(in.raw(magic.size())) != magic) {
        return fail(Errc::invalid_argument,
                    "not a proof: `loyal put|cas|del|get --proof` and `get --proof-state` "
                    "write them");
    }
    if (const auto found = in.number<std::uint16_t>(); in.ok() && found != version) {
        return fail(Errc::invalid_argument,
                    "a proof of format " + std::to_string(found) + ", this program knows " + std::to_string(version));
    }
    if (bytes.size() < head_bytes + checksum_bytes || bytes.size() > proof_bytes_max) {
        return damaged("cut short, or too long");
    }
    const ByteView covered = bytes.first(bytes.size() - checksum_bytes);
    const crypto::Digest checksum = crypto::digest_of("proof-file", covered);
    if (!std::equal(checksum.bytes.begin(), checksum.bytes.end(), bytes.end() - checksum_bytes)) {
        return damaged("its checksum is wrong");
    }
    const auto kind = in.number<std::uint8_t>();
    Proof proof;
    proof.cluster_id = in.digest();
    const ByteView content = in.sized(proof_bytes_max);
    if (!in.ok() || in.left() != checksum_bytes) {
        return damaged("cut short, or with bytes left over");
    }
    if (kind == kind_operation) {
        auto receipt = decode_signed(content);
        if (!receipt) {
            return damaged(receipt.error().message);
        }
        proof.content = std::move(*receipt);
        return proof;
    }
    if (kind == kind_state) {
        auto state = kvstore::decode_state_proof(content);
        if (!state) {
            return damaged(state.error().message);
        }
        proof.content = std::move(*state);
        return proof;
    }
    return damaged("it proves nothing that this program knows");
}

Result<void> write_proof_file(const std::filesystem::path& path, const Proof& proof) {
    return write_new_file(path, encode_proof(proof), 0644);
}

Result<Proof> read_proof_file(const std::filesystem::path& path) {
    Bytes buffer(proof_bytes_max);
    const auto size = read_file(path, buffer, Secrecy::open_to_all);
    if (!size) {
        return tl::unexpected(size.error());
    }
    return decode_proof(ByteView(buffer).first(*size)).map_error([&](const Error& error) {
        return Error{error.code, path.string() + " is " + error.message};
    });
}

}  // namespace loyal::proof
