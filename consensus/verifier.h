// MessageVerifier: the one door from decoded to Verified (rule N9, pitfall 1). Stateless after construction and
// thread-safe, so a pool may call it. Checks authorship and signatures, and everything about a message that can be
// decided without the replica's state: certificate validity (cert_ok), NEWVIEW's set, envelope signatures in a body.
// In the crash fault model the authenticated link stands in for signatures (PROTOCOL.md §8d).
#pragma once

#include <map>
#include <vector>

#include "config/result.h"
#include "consensus/messages.h"
#include "consensus/quorum.h"
#include "consensus/rules.h"
#include "crypto/verified.h"

namespace loyal::consensus {

struct Membership {
    ClusterContext context;
    FaultModel fault_model = FaultModel::byzantine;
    std::vector<crypto::PublicKey> replicas;        // index = replica id
    std::map<ClientId, crypto::PublicKey> clients;  // genesis clients
    std::uint64_t window = 8;                       // W
    std::uint64_t checkpoint_interval = 0;          // C; 0: no checkpoints
    [[nodiscard]] Quorum quorum() const { return Quorum::of(fault_model, replicas.size()); }
};

// The part of V5 that the leader's own signature covers, so that a failure is its guilt (E6): the signatures of the
// VIEW-CHANGEs and the certificate inside are not, anybody could have spoilt them on the way.
[[nodiscard]] Result<void> check_new_view_content(const Membership& membership, const NewView& message,
                                                  const RuleSet& rules = {});

class MessageVerifier {
 public:
    // Keeps references: both must outlive it. `rules_off`: see consensus/rules.h.
    MessageVerifier(const Membership& membership, const crypto::SignatureVerifier& signatures,
                    const std::vector<std::string>& rules_off = {});

    // `from` is the authenticated peer of the link. Votes, view changes and heartbeats count for nobody but `from`;
    // PROPOSE must be the leader's of its view, NEWVIEW may be handed on by anybody.
    [[nodiscard]] Result<crypto::Verified<PeerMessage>> verify(PeerMessage message, ReplicaId from) const;
    // `link_client` is the authenticated client of the link, if the envelope came straight from one.
    [[nodiscard]] Result<crypto::Verified<Envelope>> verify_envelope(Envelope envelope,
                                                                     std::optional<ClientId> link_client) const;
    // The two parts of it. Who is known may change, authenticity never does: the envelope carries its client's key.
    [[nodiscard]] Result<void> check_known(const ClientId& client) const;
    [[nodiscard]] Result<void> check_authentic(const Envelope& envelope) const;
    // The envelope inside a verified Relay; nothing for any other message.
    [[nodiscard]] static std::optional<crypto::Verified<Envelope>> relayed(
        const crypto::Verified<PeerMessage>& message);
    // What the replica itself makes or reads back from its own sealed log.
    [[nodiscard]] crypto::Verified<PeerMessage> own(PeerMessage message) const;

    // Rule cert_ok. Says why not.
    [[nodiscard]] Result<void> check_certificate(const Certificate& certificate) const;
    // The same for a certificate that the replica put together from votes whose signatures it has checked.
    [[nodiscard]] Result<void> check_own_certificate(const Certificate& certificate) const;
    [[nodiscard]] Result<void> check_new_view(const NewView& message) const;  // rule V5, the stateless part
    // The headers are a chain of C's step above the checkpoint, under a commit certificate (S4). The root is not
    // compared with anything, and the checkpoint's own header only with its height.
    [[nodiscard]] Result<void> check_checkpoint(const CheckpointProof& proof) const;
    // Nothing but the signature of `signer` over `content`.
    [[nodiscard]] bool signature_ok(ReplicaId signer, SignDomain domain, ByteView content,
                                    const crypto::Signature& signature) const;
    [[nodiscard]] const Membership& membership() const { return membership_; }

 private:
    [[nodiscard]] Result<void> check_propose(const Propose& message, ReplicaId from) const;
    [[nodiscard]] Result<void> check_vote(const Vote& vote, bool with_signature) const;
    [[nodiscard]] Result<void> check_certificate(const Certificate& certificate, bool with_signatures) const;
    [[nodiscard]] Result<void> check_view_change(const ViewChange& message, bool with_certificate) const;
    [[nodiscard]] Result<void> check_blocks(const Blocks& message) const;
    [[nodiscard]] Result<void> check_echo(const Echo& message) const;
    [[nodiscard]] Result<void> check_recover_ack(const RecoverAck& message) const;
    [[nodiscard]] Result<void> check_envelopes(const Block& block) const;

    const Membership& membership_;
    const crypto::SignatureVerifier& signatures_;
    Quorum quorum_;
    RuleSet rules_;
};

}  // namespace loyal::consensus
