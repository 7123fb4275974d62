// Verified<T>: a T whose authenticity was checked. Bytes from the wire, a decoded message and a verified message are
// three different types, and the protocol core takes only the third. A Verified<T> can be made only by code that holds
// a VerifierPass, that is, by the verifiers named as its friends.
#pragma once

#include <utility>

namespace loyal::consensus {
class MessageVerifier;
}

namespace loyal::crypto {

class VerifierPass {
    friend class loyal::consensus::MessageVerifier;
    VerifierPass() = default;
};

template <class T>
class Verified {
 public:
    Verified(T value, VerifierPass) : value_(std::move(value)) {}

    [[nodiscard]] const T& operator*() const noexcept { return value_; }
    [[nodiscard]] const T* operator->() const noexcept { return &value_; }
    [[nodiscard]] T take() && { return std::move(value_); }

 private:
    T value_;
};

}  // namespace loyal::crypto
