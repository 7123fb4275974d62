#include "tests/mutations/proof_mutator.h"

#include <algorithm>
#include <utility>

#include "crypto/canonical.h"

namespace loyal::mutations {

namespace {

constexpr std::size_t length_at = 8 + 2 + 1 + 32;
constexpr std::size_t content_at = length_at + 4;
constexpr std::size_t checksum_bytes = 32;

}  // namespace

Bytes resealed(Bytes file) {
    if (file.size() < content_at + checksum_bytes) {
        return file;
    }
    file.resize(file.size() - checksum_bytes);
    crypto::CanonicalWriter length;
    length.number(static_cast<std::uint32_t>(file.size() - content_at));
    std::copy(length.view().begin(), length.view().end(), file.begin() + length_at);
    const crypto::Digest checksum = crypto::digest_of("proof-file", file);
    file.insert(file.end(), checksum.bytes.begin(), checksum.bytes.end());
    return file;
}

ProofMutator::ProofMutator(const std::vector<Bytes>& proofs, const std::vector<Bytes>& keys, std::uint64_t seed)
    : proofs_(proofs), keys_(keys), random_(seed) {
    for (std::size_t i = 0; i < proofs.size(); ++i) {
        const auto proof = proof::decode_proof(proofs[i]);
        const bool is_state = proof && std::holds_alternative<kvstore::StateProof>(proof->content);
        (is_state ? states_ : operations_).push_back(i);
    }
}

Bytes ProofMutator::next() {
    Bytes file = any_proof();
    const std::size_t steps = 1 + (below(4) == 0 ? below(4) : 0);
    for (std::size_t i = 0; i < steps; ++i) {
        switch (below(10)) {
            case 0:
            case 1: change_bytes(file); break;
            case 2: change_number(file); break;
            case 3: cut(file); break;
            case 4: lengthen(file); break;
            case 5: move(file); break;
            case 6: splice(file); break;
            default: exchange(file); break;
        }
    }
    return below(8) == 0 ? file : resealed(std::move(file));
}

void ProofMutator::change_bytes(Bytes& file) {
    for (std::size_t i = 0, count = 1 + (below(2) == 0 ? below(4) : 0); i < count && !file.empty(); ++i) {
        std::uint8_t& byte = file[below(file.size())];
        const auto other = static_cast<std::uint8_t>(random_());
        byte = below(2) == 0 ? static_cast<std::uint8_t>(byte ^ 1U << below(8)) : other;
    }
}

// One up or down, as a count or a length would be changed.
void ProofMutator::change_number(Bytes& file) {
    if (file.size() < 8) {
        return;
    }
    const std::size_t bytes = std::size_t{1} << below(4);
    const std::size_t at = below(file.size() - bytes + 1);
    const bool up = below(2) == 0;
    for (std::size_t i = at; i < at + bytes; ++i) {
        file[i] = static_cast<std::uint8_t>(file[i] + (up ? 1 : 0xFF));
        if (file[i] != (up ? 0 : 0xFF)) {
            return;
        }
    }
}

void ProofMutator::cut(Bytes& file) {
    if (file.empty()) {
        return;
    }
    const auto from = static_cast<std::ptrdiff_t>(below(file.size()));
    const auto count = static_cast<std::ptrdiff_t>(1 + below(below(2) == 0 ? 4 : file.size()));
    file.erase(file.begin() + from, file.begin() + std::min(from + count, static_cast<std::ptrdiff_t>(file.size())));
}

void ProofMutator::lengthen(Bytes& file) {
    const Bytes& from = any_proof();
    Bytes more(1 + below(below(2) == 0 ? 4 : 100));
    const std::size_t at = below(from.size());
    for (std::size_t i = 0; i < more.size(); ++i) {
        more[i] = below(2) == 0 ? from[(at + i) % from.size()] : std::uint8_t{0};
    }
    const auto place = static_cast<std::ptrdiff_t>(below(file.size() + 1));
    file.insert(file.begin() + place, more.begin(), more.end());
}

void ProofMutator::move(Bytes& file) {
    if (file.size() < 2) {
        return;
    }
    const std::size_t count = 1 + below(std::min<std::size_t>(file.size() / 2, 64));
    const std::size_t from = below(file.size() - count + 1);
    const std::size_t to = below(file.size() - count + 1);
    const Bytes piece(file.begin() + static_cast<std::ptrdiff_t>(from),
                      file.begin() + static_cast<std::ptrdiff_t>(from + count));
    std::copy(piece.begin(), piece.end(), file.begin() + static_cast<std::ptrdiff_t>(to));
}

void ProofMutator::splice(Bytes& file) {
    const Bytes& other = any_proof();
    const std::size_t at = below(std::min(file.size(), other.size()));
    const std::size_t behind = below(2) == 0 ? at : below(other.size());
    file.resize(at);
    file.insert(file.end(), other.begin() + static_cast<std::ptrdiff_t>(behind), other.end());
}

void ProofMutator::exchange(Bytes& file) {
    auto into = proof::decode_proof(file);
    if (!into) {
        return;
    }
    // A few tries for one of the same kind.
    for (int i = 0; i < 4; ++i) {
        const auto from = proof::decode_proof(any_proof());
        if (!from || from->content.index() != into->content.index()) {
            continue;
        }
        if (auto* receipt = std::get_if<proof::SignedReceipt>(&into->content)) {
            exchange(*receipt, std::get<proof::SignedReceipt>(from->content));
        } else {
            exchange(std::get<kvstore::StateProof>(into->content), std::get<kvstore::StateProof>(from->content));
        }
        file = proof::encode_proof(*into);
        return;
    }
}

void ProofMutator::exchange(proof::SignedReceipt& into, const proof::SignedReceipt& from) {
    kvstore::Receipt& receipt = into.receipt;
    const kvstore::Receipt& other = from.receipt;
    switch (below(19)) {
        case 0: receipt.operation = other.operation; break;
        case 1: receipt.outcome = other.outcome; break;
        case 2: receipt.outcome.status = other.outcome.status; break;
        case 3: receipt.outcome.revision = other.outcome.revision; break;
        case 4: receipt.outcome.hlc = other.outcome.hlc; break;
        case 5: receipt.outcome.height = other.outcome.height; break;
        case 6: receipt.outcome.view = receipt.outcome.view.next(); break;
        case 7: receipt.outcome.seq = other.outcome.seq; break;
        case 8: receipt.outcome.result = other.outcome.result; break;
        case 9: receipt.session = receipt.session.next(); break;
        case 10: std::swap(receipt.client.bytes[below(16)], receipt.client.bytes[below(16)]); break;
        case 11:
            receipt.leaf = other.leaf;
            receipt.leaves = other.leaves;
            receipt.path = other.path;
            break;
        case 12: receipt.previous = other.previous; break;
        case 13: receipt.block_id = other.block_id; break;
        case 14: receipt.effects = other.effects; break;
        case 15: into.signatures = from.signatures; break;
        case 16:
            if (!into.signatures.empty() && !from.signatures.empty()) {
                into.signatures[below(into.signatures.size())] = from.signatures[below(from.signatures.size())];
            }
            break;
        case 17:
            if (!into.signatures.empty()) {
                into.signatures.push_back(into.signatures[below(into.signatures.size())]);
            }
            break;
        default: std::reverse(into.signatures.begin(), into.signatures.end()); break;
    }
}

void ProofMutator::exchange(kvstore::StateProof& into, const kvstore::StateProof& from) {
    switch (below(10)) {
        case 0:
        case 1:
        case 2:
        case 3: exchange(into.record, from.record); return;
        case 4: exchange(into.meta, from.meta); return;
        case 5: exchange(into.record, from.meta); return;
        case 6: std::swap(into.record, into.meta); return;
        case 7: into.record = from.record; return;
        default: break;
    }
    if (!into.certified || !from.certified) {
        into.certified = from.certified;
        into.vouched = from.vouched;
        return;
    }
    kvstore::CertifiedRoot& word = *into.certified;
    const kvstore::CertifiedRoot& other = *from.certified;
    switch (below(8)) {
        case 0: word = other; break;
        case 1: word.headers = other.headers; break;
        case 2: word.votes = other.votes; break;
        case 3: word.headers[below(word.headers.size())] = other.headers[below(other.headers.size())]; break;
        case 4:
            if (!word.votes.empty() && !other.votes.empty()) {
                word.votes[below(word.votes.size())] = other.votes[below(other.votes.size())];
            }
            break;
        case 5:
            if (!word.votes.empty()) {
                std::swap(word.votes[below(word.votes.size())], word.votes[below(word.votes.size())]);
            }
            break;
        case 6: word.headers.push_back(other.headers.back()); break;
        default: word.headers.pop_back(); break;
    }
    if (word.headers.empty()) {
        word.headers = other.headers;
    }
}

void ProofMutator::exchange(kvstore::RecordProof& into, const kvstore::RecordProof& from) {
    switch (below(9)) {
        case 0: into.key = keys_[below(keys_.size())]; break;
        case 1: into.content = from.content; break;
        case 2: into.content.reset(); break;
        case 3: into.neighbours = from.neighbours; break;
        case 4:
            if (!into.neighbours.empty()) {
                into.neighbours.erase(into.neighbours.begin() +
                                      static_cast<std::ptrdiff_t>(below(into.neighbours.size())));
            }
            break;
        case 5: into.siblings = from.siblings; break;
        case 6: into.siblings[below(4)] = from.siblings[below(4)]; break;
        case 7: into.table = from.table; break;
        default: std::swap(into.siblings[below(4)][below(16)], into.siblings[below(4)][below(16)]); break;
    }
}

}  // namespace loyal::mutations
