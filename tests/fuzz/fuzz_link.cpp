// Whatever a peer sends during a handshake or on an established link is refused or understood, never a crash, and never
// a link with somebody who holds no key.
//
// Input: frames, each u16 length (little-endian) and bytes. A frame whose length has its top bit set is not
// taken as it is but edits the genuine frame that is due: pairs of (position, value to xor).
#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "crypto/canonical.h"
#include "crypto/identity.h"
#include "crypto/link.h"

namespace {

using namespace loyal;
using namespace loyal::crypto;

const Identity& identity_of(std::uint8_t number) {
    static const std::array<Identity, 2> identities = [] {
        std::array<std::uint8_t, 32> one{};
        std::array<std::uint8_t, 32> two{};
        one.fill(1);
        two.fill(2);
        return std::array<Identity, 2>{Identity::from_seed(one), Identity::from_seed(two)};
    }();
    return identities[number];
}

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

struct Source {
    CanonicalReader in;

    // The next frame on the wire, and whether it differs from the genuine one.
    std::pair<Bytes, bool> next(const Bytes& genuine) {
        const auto head = in.number<std::uint16_t>();
        const auto size = std::min<std::size_t>(head & 0x7FFFU, in.left());
        const ByteView bytes = in.raw(size);
        if ((head & 0x8000U) == 0 && in.ok() && size > 0) {
            const Bytes frame(bytes.begin(), bytes.end());
            return {frame, frame != genuine};
        }
        Bytes frame = genuine;
        for (std::size_t i = 0; i + 1 < bytes.size() && !frame.empty(); i += 2) {
            frame[bytes[i] % frame.size()] ^= bytes[i + 1];
        }
        return {frame, frame != genuine};
    }
};

LinkOptions options_of(std::uint8_t number) {
    static const Ed25519Verifier verifier;
    return {digest_of("cluster", view_of("fuzz")), 1, LinkRole::replica, &identity_of(number), &verifier};
}

// A step succeeds exactly when nothing was changed on the way.
void talk(Source source) {
    auto caller = LinkHandshake::initiator(options_of(0), {LinkRole::replica, identity_of(1).public_key()});
    auto callee = LinkHandshake::responder(options_of(1), [](const LinkPeer&) { return true; });
    const auto [first, changed_first] = source.next(caller.first_frame());
    const auto second = callee.receive(first);
    if (!second) {
        require(!callee.done());
        return;
    }
    const auto [answer, changed_answer] = source.next(**second);
    const auto third = caller.receive(answer);
    require(third.has_value() == (!changed_first && !changed_answer));
    if (!third) {
        return;
    }
    const auto [proof, changed_proof] = source.next(**third);
    const auto end = callee.receive(proof);
    require(end.has_value() == !changed_proof);
    if (!end) {
        return;
    }
    auto sender = caller.take_cipher();
    auto receiver = callee.take_cipher();
    bool broken = false;
    while (source.in.left() > 0 && source.in.ok()) {
        const auto [sealed, changed] = source.next(sender.seal(view_of("plain text")));
        broken = broken || changed;
        const auto plain = receiver.open(sealed);
        require(plain.has_value() == !broken);
        require(!plain || *plain == bytes_of("plain text"));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    initialize();
    talk({CanonicalReader(ByteView(data, size))});
    return 0;
}
